package rights_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/rights"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // it repeats what errors say
	storetest.Main(m)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var list = []*jobs.Job{newJob("product", "product:{id}"), newJob("all", "everything")}

func newJob(name, key string) *jobs.Job {
	template, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		panic(err)
	}
	return &jobs.Job{Name: name, Key: template}
}

func open(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	c, err := cache.Open(jobs.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// problems is all that check would print for a URL.
func problems(t *testing.T, url string) string {
	t.Helper()
	c := open(t, url)
	spec := &jobs.Spec{Jobs: list}
	r, err := rights.Check(t.Context(), c, rights.Cache(spec, rights.Scope{}).And(rights.Queue(spec, rights.Scope{})))
	if err != nil {
		return "fatal: " + rights.Explain(c, jobs.NewSecret(url), err).Error()
	}
	var b strings.Builder
	for _, p := range r.Problems(c) {
		fmt.Fprintf(&b, "fatal %v: %s\n", p.Fatal, p.Message)
	}
	return b.String()
}

func command(t *testing.T, c redis.UniversalClient, args ...any) {
	t.Helper()
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

func want(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	if len(parts) == 0 && got != "" {
		t.Errorf("%s: %s", what, got)
	}
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %q: %s", what, part, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Errorf("%s shows a password: %s", what, got)
	}
}

// Broken by: a server whose role or mode is not asked.
func TestRoleAndMode(t *testing.T) {
	t.Parallel()
	primary, replica := storetest.OwnRedis(t), storetest.OwnRedis(t)
	want(t, "a primary", problems(t, primary.URL(0)))
	c := open(t, replica.URL(0))
	for _, writable := range []string{"yes", "no"} {
		command(t, c, "config", "set", "replica-read-only", writable)
		command(t, c, "replicaof", "127.0.0.1", primary.Port())
		want(t, "a replica", problems(t, replica.URL(0)), "fatal true", "this is a replica", "URL of the primary")
	}
	node := storetest.OwnRedis(t, "--cluster-enabled", "yes")
	want(t, "a node without slots", problems(t, node.URL(0)), "fatal true", "node of a Redis Cluster", "?addr=")
	command(t, open(t, node.URL(0)), "cluster", "addslotsrange", 0, 16383)
	want(t, "a node with all slots", problems(t, node.URL(0)), "fatal true", "node of a Redis Cluster", "?addr=")
	url := node.URL(0) + "?addr=" + node.Addr()
	eventually(t, func() bool { return cache.Probe(t.Context(), open(t, url), "") == nil })
	want(t, "the cluster", problems(t, url))
	want(t, "no cluster", problems(t, primary.URL(0)+"?addr="+primary.Addr()), "fatal", "leave ?addr= out")
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	storetest.Eventually(t, 10*time.Second, "it comes about", ok)
}

// What the user may not do is named, as the statement that allows it, and nothing is done by asking. Broken by: a
// question that is a command of its own.
func TestUserWithoutRights(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	admin := open(t, server.URL(0))
	for name, tt := range map[string]struct {
		rules []any
		want  []string
	}{
		"all": {[]any{"allkeys", "allchannels", "+@all"}, nil},
		"reads": {[]any{"allkeys", "allchannels", "+@all", "-@write"},
			[]string{"+hset", "+rpush", "+set", "+unlink"}},
		"no scripts": {[]any{"allkeys", "allchannels", "+@all", "-@scripting"},
			[]string{"+evalsha", "+script|load"}},
		"nothing": {[]any{"allkeys", "allchannels", "-@all"}, []string{"+multi"}},
		"other keys": {[]any{"~other:*", "allchannels", "+@all"},
			[]string{"~asynq:queues", "~everything", "~product:*", "~stoker:*"}},
		"one job's": {[]any{"~stoker:*", "~asynq:*", "~everything", "allchannels", "+@all"},
			[]string{"SETUSER u ~product:*\n"}},
		"reads of keys": {[]any{"%R~*", "allchannels", "+@all"}, []string{"~product:*", "~stoker:*"}},
		"no channel":    {[]any{"allkeys", "resetchannels", "+@all"}, []string{"SETUSER u &asynq:cancel\n"}},
		"no INFO": {[]any{"allkeys", "allchannels", "+@all", "-info"},
			[]string{"fatal false", "may not send INFO", "+info"}},
	} {
		command(t, admin, append([]any{"acl", "setuser", "u", "reset", "on", ">hunter2"}, tt.rules...)...)
		want(t, name, problems(t, "redis://u:hunter2@"+server.Addr()), tt.want...)
	}
	if n := admin.DBSize(t.Context()).Val(); n > 0 {
		t.Errorf("%d keys were written", n)
	}
	want(t, "a wrong password", problems(t, "redis://u:wrong@"+server.Addr()), "fatal", "WRONGPASS",
		"password in the URL")
	command(t, admin, "config", "set", "requirepass", "hunter2")
	want(t, "no password", problems(t, server.URL(0)), "fatal", "NOAUTH", "redis://user:password@")
}

// Commands that were renamed are none of the ACL's.
func TestRenamedCommands(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t, "--rename-command", "INFO", "", "--rename-command", "EVALSHA", "gone")
	got := problems(t, server.URL(0))
	want(t, "renamed", got, "fatal false: this server does not know INFO",
		"fatal true: this server does not know EVALSHA",
		"rename-command")
	server = storetest.OwnRedis(t, "--rename-command", "MULTI", "")
	want(t, "without MULTI", problems(t, server.URL(0)), "fatal true: this server does not know MULTI")
	if n := open(t, server.URL(0)).DBSize(t.Context()).Val(); n > 0 {
		t.Errorf("%d keys were written", n)
	}
}

// With passwords on the Sentinel and on the Redis behind it, each belongs to its place, and the words say which one is
// wrong.
func TestSentinelPasswords(t *testing.T) {
	t.Parallel()
	primary := storetest.OwnRedis(t)
	command(t, open(t, primary.URL(0)), "config", "set", "requirepass", "hunter2-redis")
	addr := sentinel(t, primary.Port())
	base := "redis://:hunter2-sentinel@" + addr
	good := base + "?master_name=mymaster&password=hunter2-redis"
	eventually(t, func() bool { return cache.Probe(t.Context(), open(t, good), "") == nil })
	want(t, "both right", problems(t, good))
	for url, part := range map[string]string{
		base + "?master_name=mymaster": "&password=; those " +
			"before the @ are the Sentinels'",
		base + "?master_name=mymaster&password=hunter2-other": "the Redis behind the " +
			"Sentinels refuses it",
		"redis://:hunter2-redis@" + addr + "?master_name=mymaster&password=hunter2-redis": "the Sentinels refuse it",
		"redis://" + addr + "?master_name=mymaster&password=hunter2-redis":                "the Sentinels refuse it",
		base + "?master_name=other&password=hunter2-redis":                                "no master of this name",
		base: "this is a Sentinel",
		"redis://:hunter2-redis@" + primary.Addr() + "?master_name=m&password=hunter2-redis": "this is not a Sentinel",
	} {
		want(t, url[len("redis://"):][:5], problems(t, url), "fatal", part)
	}
}

// sentinel starts a Sentinel of the Redis at a port, and returns its address.
func sentinel(t *testing.T, port int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, own, _ := strings.Cut(addr, ":")
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nrequirepass hunter2-sentinel\nsentinel monitor mymaster "+
		"127.0.0.1 %d 1\n"+
		"sentinel auth-pass mymaster hunter2-redis\n", own, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("no redis-server in the PATH")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}
