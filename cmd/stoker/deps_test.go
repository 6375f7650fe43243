package main

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stokerhq/stoker/"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string // of files that are no tests
	GoFiles    []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,GoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list found %d packages", len(list))
	}
	return list
}

// ours is what each package may import of ours. Imports point to the leaves:
// what is not listed imports nothing of ours.
var ours = map[string][]string{
	"cmd/stoker":                {"*"},
	"cmd/stoker/internal/await": {"cmd/stoker/internal/show", "jobs", "store"},
	"cmd/stoker/internal/check": {"cmd/stoker/internal/connect", "cmd/stoker/internal/show", "jobs",
		"jobs/budget", "store",
		"store/cache", "store/cache/info", "store/feed", "store/feed/outbox", "store/feed/wal", "store/postgres",
		"store/postgres/analyze", "store/postgres/pressure", "store/rights"},
	"cmd/stoker/internal/connect": {"cmd/stoker/internal/trace", "jobs", "jobs/access", "jobs/budget", "jobs/specfile",
		"jobs/specfile/connurl", "jobs/tracing", "store", "store/cache", "store/cache/info", "store/ledger",
		"store/lookups", "store/postgres",
		"store/postgres/analyze", "store/postgres/connector", "store/postgres/pressure", "store/queue", "store/rights",
		"web", "worker", "worker/headroom", "worker/scope", "worker/throttle", "worker/verify"},
	"cmd/stoker/internal/daemon": {"*"},
	"cmd/stoker/internal/demolog": {"cmd/stoker/internal/connect", "cmd/stoker/internal/shop",
		"cmd/stoker/internal/show", "jobs", "web"},
	"cmd/stoker/internal/initspec": {
		"cmd/stoker/internal/show", "jobs/specfile", "jobs/specfile/schema", "store/postgres/discover"},
	"cmd/stoker/internal/estimate": {"cmd/stoker/internal/connect", "cmd/stoker/internal/show", "jobs", "store"},
	"cmd/stoker/internal/grants":   {"jobs", "store/rights"},
	"cmd/stoker/internal/removal": {"cmd/stoker/internal/connect", "cmd/stoker/internal/show", "jobs",
		"store/purge"},
	"cmd/stoker/internal/sequin": {"cmd/stoker/internal/initspec", "jobs", "jobs/specfile/schema",
		"store/postgres/discover"},
	"cmd/stoker/internal/keyarg":      {"jobs"},
	"cmd/stoker/internal/reload":      {"jobs", "jobs/specfile", "store"},
	"cmd/stoker/internal/shop":        {"readers", "store/testserver"},
	"cmd/stoker/internal/systemd":     {"jobs"},
	"cmd/stoker/internal/trace":       {"jobs", "jobs/tracing"},
	"cmd/stoker/internal/show":        {"store"},
	"cmd/stoker/internal/statustable": {"cmd/stoker/internal/show", "store", "web", "web/reads"},
	"cmd/bench": {"cmd/bench/internal/proc", "cmd/bench/internal/report",
		"cmd/bench/internal/baseline", "store/testserver"},
	"cmd/bench/internal/report":   {"cmd/bench/internal/proc"},
	"cmd/bench/internal/baseline": {"cmd/bench/internal/proc"},
	"cmd/soak":                    {"cmd/soak/internal/checker"},
	"cmd/soak/internal/checker":   {"store/testserver"},
	"jobs/access":                 {"jobs", "jobs/specfile/connurl"},
	"jobs":                        {"jobs/budget"},
	"jobs/specfile": {"jobs", "jobs/access", "jobs/budget", "jobs/specfile/connurl", "jobs/specfile/field",
		"jobs/specfile/spelling", "jobs/sqltext"},
	"jobs/specfile/schema":  {"jobs/specfile", "jobs/specfile/field"},
	"jobs/specfile/connurl": {"jobs", "jobs/specfile/spelling"},
	"scheduler":             {"jobs", "jobs/tracing", "store"},
	"scheduler/memory":      {"jobs", "store", "store/cache/info"},
	"scheduler/changes":     {"jobs", "jobs/tracing", "store", "store/feed"},
	"worker": {"jobs", "jobs/tracing", "store", "store/cache", "store/cache/patience", "store/encode",
		"store/ledger", "store/manifest",
		"store/queue", "worker/debt", "worker/equal", "worker/headroom", "worker/inhand", "worker/intake",
		"worker/render", "worker/spans", "worker/written"},
	"worker/spans":    {"jobs/tracing", "store", "store/cache", "worker/render"},
	"worker/written":  {"store"},
	"worker/debt":     {"jobs", "store"},
	"worker/equal":    {"jobs", "store/cache", "store/manifest"},
	"worker/headroom": {"jobs", "store", "store/cache", "store/cache/info"},
	"worker/preview":  {"jobs", "store", "worker/render"},
	"worker/inhand":   {"jobs", "worker/intake"},
	"worker/intake":   {"jobs", "worker/debt"},
	"worker/render":   {"jobs", "store", "store/cache", "store/encode"},
	"worker/scope":    {"jobs", "store", "store/cache", "worker/equal", "worker/render"},
	"worker/throttle": {"jobs", "jobs/budget", "store", "store/postgres", "store/postgres/pressure"},
	"worker/verify": {"jobs", "store", "store/cache", "store/encode", "store/ledger", "store/manifest",
		"worker/render"},
	"store/postgres/analyze": {
		"jobs", "store", "store/postgres", "store/postgres/lex"},
	"store/postgres/discover": {
		"jobs", "store", "store/postgres", "store/postgres/analyze", "store/postgres/lex"},
	"store/postgres/lex":  {"jobs/sqltext"},
	"store/feed":          {"jobs", "store", "store/postgres"},
	"store/feed/wal":      {"jobs", "store", "store/feed", "store/postgres", "store/postgres/connector"},
	"store/feed/outbox":   {"jobs", "store", "store/feed", "store/postgres"},
	"store/feed/feedtest": {"jobs", "store", "store/feed", "store/postgres", "store/storetest", "store/testserver"},
	"store/postgres": {"jobs", "store", "store/encode", "store/postgres/connector",
		"store/postgres/meter", "store/postgres/sketch"},
	"store/postgres/connector": {"jobs", "jobs/access", "jobs/specfile/connurl"},
	"store/postgres/meter":     {"store"},
	"store/postgres/pressure":  {"jobs", "jobs/budget", "store/postgres"},
	"store/encode":             {"store"},
	"store/cache": {"jobs", "store", "store/cache/dial", "store/cache/info", "store/cache/layout",
		"store/cache/patience", "store/cache/resp", "store/internal/redisjson", "store/lookups"},
	"store/cache/patience": {"store"},
	"store/cache/layout":   {"jobs"},
	"store/cache/dial":     {"jobs", "jobs/access", "jobs/specfile/connurl", "store/cache/resp"},
	"store/rights": {"jobs", "jobs/specfile/connurl", "store", "store/cache/dial", "store/cache/layout",
		"store/cache/resp"},
	"store/ledger":       {"jobs", "store", "store/internal/redisjson"},
	"store/queue":        {"jobs", "store"},
	"store/purge":        {"jobs", "store", "store/cache", "store/manifest", "store/queue"},
	"store/storetest":    {"jobs", "store", "store/testserver"},
	"readers/go/example": {"readers/go"},
	"web": {"jobs", "jobs/tracing", "store", "web/guess", "web/mask", "web/objective",
		"web/past", "web/reads", "web/wording"},
	"web/doorbell":     {"jobs", "store"},
	"web/mask":         {"jobs", "store"},
	"web/notify":       {"jobs", "store", "web"},
	"web/objective":    {"jobs", "store", "web/wording"},
	"web/past":         {"store", "web/wording"},
	"web/reads":        {"jobs", "store", "store/cache/info", "web/wording"},
	"web/sourcebudget": {"jobs", "jobs/budget"},
	"web/warmz":        {"jobs", "store", "web"},
	"web/state":        {"jobs", "store", "store/cache", "web", "web/reads"},
}

// theirs is who alone may import what moves data, besides tests' helpers.
var theirs = map[string][]string{
	"github.com/jackc/pgx/": {"store/postgres", "store/postgres/connector", "store/postgres/meter",
		"store/postgres/analyze", "store/postgres/discover", "store/postgres/pressure",
		"store/feed", "store/feed/wal", "store/feed/outbox", "store/storetest",
		"cmd/soak/internal/checker", "cmd/bench/internal/baseline",
		"readers/go/example"},
	"github.com/redis/go-redis/": {"store/cache", "store/cache/dial", "store/cache/info", "store/cache/patience",
		"store/cache/resp", "store/ledger", "store/lookups",
		"store/internal/redisjson", "store/purge", "store/queue", "store/rights",
		"worker", "worker/debt", "cmd/stoker", "cmd/stoker/internal/check", "cmd/stoker/internal/connect",
		"cmd/stoker/internal/daemon", "cmd/stoker/internal/trace", "cmd/bench",
		"cmd/soak/internal/checker", "cmd/bench/internal/baseline", "readers/go"},
	"github.com/redis/go-redis/extra/": {"cmd/stoker/internal/trace"},
	"github.com/exaring/otelpgx":       {"cmd/stoker/internal/trace"},
	"go.opentelemetry.io/":             {"jobs/tracing", "cmd/stoker/internal/trace"},
	"github.com/robfig/cron/":          {"jobs"},
	"github.com/hibiken/asynqmon":      {"web"},
	"github.com/alicebob/miniredis":    {"cmd/stoker/internal/shop"},
	"testing":                          {"store/storetest", "store/feed/feedtest"},
}

func TestImportsPointToTheLeaves(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			if why := forbidden(p.name(), path); why != "" {
				t.Errorf("%s imports %s: %s", p.name(), path, why)
			}
		}
	}
}

// The rule must be able to refuse.
func TestImportRulesRefuse(t *testing.T) {
	for _, bad := range [][2]string{
		{"scheduler", module + "worker"},
		{"worker", module + "scheduler"},
		{"jobs", module + "store"},
		{"store", module + "jobs"},
		{"web", module + "store/postgres"},
		{"worker", "github.com/jackc/pgx/v5"},
		{"scheduler", "github.com/redis/go-redis/v9"},
		{"web", module + "store/storetest"},
		{"store/feed/wal", module + "store/feed/feedtest"},
		{"store/postgres", module + "store/feed"},
		{"worker", "go.opentelemetry.io/otel/trace"},
	} {
		if forbidden(bad[0], bad[1]) == "" {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
}

// forbidden says why from may not import path; empty: it may.
func forbidden(from, path string) string {
	if name, is := strings.CutPrefix(path, module); is {
		if name == "store/storetest" && from != "store/feed/feedtest" || name == "store/feed/feedtest" {
			return "only tests stand on " + name
		}
		if allowed := ours[from]; !slices.Contains(allowed, name) && !slices.Contains(allowed, "*") {
			return "not one of " + strings.Join(allowed, ", ")
		}
		return ""
	}
	for prefix, allowed := range theirs {
		if (path == prefix || prefix != "testing" && strings.HasPrefix(path, prefix)) &&
			!slices.Contains(allowed, from) {
			return "only " + strings.Join(allowed, ", ") + " may"
		}
	}
	return ""
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		docs := 0
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil,
				parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want 1", p.name(), docs)
		}
	}
}
