package reload

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

const good = `postgres: {url: postgres://h/d}
redis: {url: redis://h:1}
jobs:
  - {name: a, key: "a:{id}", query: SELECT 1 AS id, schedule: "@every 1m", ttl: 10m}
  - {name: b, key: "b:{id}", query_file: b.sql, unwatched: []}
`

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, text string) *jobs.Spec {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{"stoker.yaml": text, "b.sql": "SELECT 2 AS id"})
	l := &Loader{File: filepath.Join(dir, "stoker.yaml"), Lookup: os.LookupEnv, HoldStill: time.Millisecond}
	spec, err := l.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// What differs between two specs is taken by job, or refused by field.
//
// Broken by: a job that counts as another one because it stands in another line; a field of the connections that is
// taken and does nothing; a URL that is named twice.
func TestCompare(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, tc := range map[string]struct {
		next                            string
		added, changed, altered, remove string
		feed                            bool
		fixed                           string
	}{
		"nothing":        {next: good},
		"lines":          {next: replaced("jobs:", "\n\njobs:")},
		"a query":        {next: replaced("SELECT 1", "SELECT 7"), changed: "a"},
		"a ttl":          {next: replaced("10m", "20m"), changed: "a"},
		"a schedule":     {next: replaced("1m", "2m"), altered: "a"},
		"no schedule":    {next: replaced(`, schedule: "@every 1m"`, ""), altered: "a"},
		"another name":   {next: replaced("name: a", "name: c"), added: "c", remove: "a"},
		"a notification": {next: good + "notify: [{url: https://h/x}]\n"},
		"audit":          {next: good + "audit: {rate: 10/s}\n"},
		"a token":        {next: good + "admin: {token: 0123456789abcdef0123}\n"},
		"postgres":       {next: replaced("//h/d", "//h/e"), fixed: "postgres.url"},
		"redis":          {next: replaced("h:1}", "h:2}"), fixed: "redis.url"},
		"a queue": {next: replaced("h:1}", "h:1, queue_url: redis://h:3}\nadmin: {base_path: /s}"),
			fixed: "redis.queue_url, admin.base_path"},
		"the source": {next: good + "changes: {source: wal, unbounded_wal: true}\n",
			fixed: "changes.source, changes.unbounded_wal"},
		"a listener": {next: replaced("jobs:", "admin: {listen: \"127.0.0.1:9\"}\njobs:"), fixed: "admin.listen"},
	} {
		t.Run(name, func(t *testing.T) {
			before := load(t, good)
			plan, err := Compare(before, load(t, tc.next))
			if tc.fixed != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.fixed+" cannot be changed") {
					t.Errorf("%v, want %s", err, tc.fixed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for what, list := range map[string][2]string{
				"added":   {strings.Join(plan.Added, ","), tc.added},
				"changed": {strings.Join(plan.Changed, ","), tc.changed},
				"altered": {strings.Join(plan.Altered, ","), tc.altered},
				"removed": {strings.Join(plan.Removed, ","), tc.remove},
			} {
				if list[0] != list[1] {
					t.Errorf("%s: %s, want %s", what, list[0], list[1])
				}
			}
			if b, _ := before.Job("b"); !slices.Contains(plan.Spec.Jobs, b) {
				t.Error("a job that stays as it is was replaced")
			}
		})
	}
}

// Broken by: a change of what the feed must tell that goes unnoticed, or a feed that is opened anew for another query.
func TestFeedDiffers(t *testing.T) {
	const spec = `postgres: {url: postgres://h/d}
redis: {url: redis://h:1}
changes: {source: SOURCE}
jobs:
  - {name: a, key: "a:{id}", query: SELECT 1 AS id, watch: [{table: x, key: {id: id}}]}
  - {name: b, key: "b:{id}", query: SELECT 1 AS id}
`
	for _, tc := range []struct {
		old, with   string
		wal, outbox bool
	}{
		{"SELECT 1", "SELECT 2", false, false},
		{"table: x", "table: y", true, true},
		{"a:{id}", "aa:{id}", true, true},
		{"b:{id}", "bb:{id}", false, true},
		{"name: b", "name: c", false, true},
		{"watch: [{table: x, key: {id: id}}]", "ttl: 1h", true, true},
	} {
		for source, want := range map[string]bool{"none": false, "wal": tc.wal, "outbox": tc.outbox} {
			before := strings.Replace(spec, "SOURCE", source, 1)
			plan, err := Compare(load(t, before), load(t, strings.Replace(before, tc.old, tc.with, 1)))
			if err != nil || plan.Feed != want {
				t.Errorf("%s, %s for %s: opened anew %v, want %v; %v", source, tc.with, tc.old, plan.Feed, want, err)
			}
		}
	}
}

// A spec counts once its files hold still, and is looked at again when the content of one has changed; also of a file
// that was not there.
//
// Broken by: a look at the spec file alone; a spec that is half written and taken.
func TestLoader(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"stoker.yaml": good})
	l := &Loader{File: filepath.Join(dir, "stoker.yaml"), Lookup: os.LookupEnv, HoldStill: 50 * time.Millisecond}
	if _, err := l.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "stoker.yaml:5:42: ") {
		t.Errorf("without its query file: %v", err)
	}
	if l.Changed() {
		t.Error("nothing has changed")
	}
	write(t, dir, map[string]string{"b.sql": "SELECT 2 AS id"})
	if !l.Changed() {
		t.Error("the query file is there now")
	}
	half := strings.Index(good, "  - {name: b")
	write(t, dir, map[string]string{"stoker.yaml": good[:half]})
	whole := time.AfterFunc(10*time.Millisecond, func() {
		_ = os.WriteFile(filepath.Join(dir, "stoker.yaml"), []byte(good), 0o600)
	})
	defer whole.Stop()
	spec, err := l.Load(t.Context())
	if err != nil || len(spec.Jobs) != 2 {
		t.Errorf("while the spec was written: %v, %v", spec, err)
	}
	write(t, dir, map[string]string{"stoker.yaml": good, "b.sql": "SELECT 2 AS id"})
	if l.Changed() {
		t.Error("the same content, written again, is no change")
	}
	write(t, dir, map[string]string{"b.sql": "SELECT 3 AS id"})
	if !l.Changed() {
		t.Error("the query file has another content")
	}
}

// A password that was replaced in its file is no change that needs a start: each new connection reads the file. Where
// the file is another one, it is.
func TestReplacedPasswordIsNoChange(t *testing.T) {
	dir := t.TempDir()
	text := strings.NewReplacer("url: postgres://h/d", "url: postgres://u@h/d, password_file: pg",
		"url: redis://h:1", "url_file: redis").Replace(good)
	at := func(text, password string) *jobs.Spec {
		t.Helper()
		write(t, dir, map[string]string{"stoker.yaml": text, "b.sql": "SELECT 2 AS id", "pg": password,
			"other": password, "redis": "redis://:" + password + "@h:1"})
		l := &Loader{File: filepath.Join(dir, "stoker.yaml"), Lookup: os.LookupEnv, HoldStill: time.Millisecond}
		spec, err := l.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	before := at(text, "one")
	if plan, err := Compare(before, at(text, "two")); err != nil || len(plan.Changed) != 0 {
		t.Errorf("another password: %+v, %v", plan, err)
	}
	other := at(strings.Replace(text, "password_file: pg", "password_file: other", 1), "two")
	if _, err := Compare(before, other); err == nil {
		t.Error("another file is taken without a start")
	}
}
