package rights_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/rights"
	"github.com/stokerhq/stoker/store/storetest"
)

// everything is a spec that uses all there is, behind URLs of a kind.
func everything(cache, queue string) *jobs.Spec {
	hash, plain := newJob("hash", "hash:{id}"), newJob("product", "product:{id}:of:{shop}")
	top := newJob("top", "top:{category}")
	top.Type = jobs.TypeZSet
	whole := newJob("all", "every*thing")
	hash.Type, plain.Objective = jobs.TypeHash, &jobs.Objective{}
	return &jobs.Spec{Namespace: "shop", Redis: jobs.Redis{URL: jobs.NewSecret(cache), QueueURL: jobs.NewSecret(queue)},
		Admin: jobs.Admin{QueuesWrite: true}, Notify: []jobs.Notify{{}}, Jobs: []*jobs.Job{hash, plain, whole, top}}
}

// sent are the commands in the sources of packages, by what they look like: a script, a raw command, or a method of
// go-redis.
func sent(t *testing.T, dirs ...string) (commands []string) {
	t.Helper()
	looks := []*regexp.Regexp{regexp.MustCompile(`redis\.call\(["']([A-Za-z]+)["'](?:, "(USAGE)")?`),
		regexp.MustCompile(`(?:Command|\[\]byte)\("([A-Z]{3,})"`),
		regexp.MustCompile(`\.([A-Z][A-Za-z]+)\((?:ctx|context\.Background\(\))[,)]`),
		regexp.MustCompile(`client\.(Info)\(`)}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			ext := filepath.Ext(path)
			if err != nil || ext != ".go" && ext != ".lua" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, look := range looks {
				for _, m := range look.FindAllStringSubmatch(string(text), -1) {
					commands = append(commands, commandOf(append(m[1:], "")...))
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(commands)
	return slices.Compact(commands)
}

// commandOf is the command behind a name in a source.
func commandOf(parts ...string) string {
	name := strings.ToLower(parts[0])
	if parts[1] != "" {
		name += "|" + strings.ToLower(parts[1])
	}
	switch name {
	case "scriptload":
		return "script|load"
	case "clusterslots", "clusterinfo", "clusternodes", "clusterkeyslot":
		return "cluster|" + strings.TrimPrefix(name, "cluster")
	case "zrangebyscorewithscores":
		return "zrangebyscore"
	case "zrevrangewithscores":
		return "zrevrange"
	case "zrangewithscores":
		return "zrange"
	}
	return name
}

// The table has what the code sends, and nothing else. Broken by: a command that is sent and not in the table; a right
// that nothing needs any more.
func TestTableIsWhatTheCodeSends(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hibiken/asynq",
		"github.com/hibiken/asynqmon").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	known := commandsOf(t)
	spec := everything("redis://h:1?addr=h:2", "redis://h/4?addr=h:2")
	for _, u := range rights.Users(spec, rights.Scope{Purge: true}) {
		switch u.For {
		case rights.ForCache:
			compare(t, u, known, sent(t, "../cache"), []string{
				// of the connection, and of go-redis
				"ping", "evalsha", "command",
				// used by what is beside the package: the purge, orphans, and the question for rights
				"scan", "unwatch", "multi", "watch", "exec", "unlink"})
		case rights.ForQueue:
			used := append(sent(t, "../ledger", "../queue", "../internal/redisjson",
				filepath.Join(modules[0], "internal/rdb")), sent(t, modules[1])...)
			compare(t, u, known, used, []string{"ping", "command", "eval", "evalsha", "multi", "exec", "scan", "unlink",
				"subscribe", "cluster|slots", "cluster|info", "cluster|nodes"})
		}
	}
}

// commandsOf are all commands that a Redis has.
func commandsOf(t *testing.T) []string {
	t.Helper()
	list, err := open(t, storetest.OwnRedis(t).URL(0)).CommandList(t.Context(), nil).Result()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func compare(t *testing.T, u rights.User, all, used, besides []string) {
	t.Helper()
	for _, command := range used {
		if slices.Contains(all, command) && !slices.Contains(u.Rules, "+"+command) {
			t.Errorf("%s: %s is sent, and not in the table", u.For, command)
		}
	}
	for _, rule := range u.Rules {
		command, is := strings.CutPrefix(rule, "+")
		if is && !slices.Contains(used, command) && !slices.Contains(besides, command) {
			t.Errorf("%s: %s is in the table, and not sent", u.For, command)
		}
	}
}
