// Package mixin holds the alerts and the board; its tests hold them to a running daemon, to promtool and to the docs.
package mixin

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// leftOut are metrics of a daemon that neither board nor alerts show, with the reason.
var leftOut = map[string]string{
	"stoker_audit_moving_total":                       "keys that changed while they were compared: of use to the audit's author",
	"stoker_audit_oldest_confirmed_seconds":           "how far the audit's round is; the page shows it",
	"stoker_changes_calls_skipped_total":              "wake-ups that found nothing to do",
	"stoker_tasks_handed_back_total":                  "a rolling deploy does that for a moment; freed ones are alerted",
	"stoker_slot_wal_status":                          "a lost slot is made anew; the log says so",
	"stoker_book_pruned_total":                        "housekeeping of the book of fences",
	"stoker_build_info":                               "for joins; the page shows it",
	"stoker_cache_evicting":                           "stoker_cache_evicted_keys_total shows when",
	"stoker_cache_headroom_refusals_total":            "each is a failed run, which is alerted",
	"stoker_cache_refills_total":                      "in the log, with the eviction",
	"stoker_changes_barrier_waits_total":              "a part of the fence lag",
	"stoker_changes_keys_refreshed_total":             "beside stoker_changes_keys_total it says how much was folded",
	"stoker_changes_refreshes_total":                  "the lag says whether they are in time",
	"stoker_changes_tasks_lost_total":                 "made up for by itself",
	"stoker_enqueue_failures_total":                   "shows as missed ticks",
	"stoker_keys_oversized_total":                     "in each run's record, with the key",
	"stoker_refresh_refusals_total":                   "writes that were refused as older: right, and in the docs",
	"stoker_run_throttled_seconds_total":              "wanted by who sets a budget; the page names the reason",
	"stoker_run_restarts_total":                       "runs that began again by themselves",
	"stoker_spec_last_load_success_timestamp_seconds": "for a look at when",
}

type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func alerts(t *testing.T) rules {
	t.Helper()
	b, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.UnmarshalStrict(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Each alert says how bad it is, after which time, what is the matter, and where it is explained: the anchor exists.
func TestAlerts(t *testing.T) {
	book, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(book), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	n := 0
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			n++
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			if r.For == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks for, summary or description", r.Alert)
			}
			_, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "docs/runbooks.md#")
			if !anchors[anchor] {
				t.Errorf("%s: runbooks.md has no section %q", r.Alert, anchor)
			}
		}
	}
	if n < 12 {
		t.Errorf("%d alerts", n)
	}
}

// The chart ships the same alerts.
func TestChartHasTheAlerts(t *testing.T) {
	ours, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../helm/stoker/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Error("deploy/helm/stoker/files/alerts.yaml differs: cp deploy/mixin/alerts.yaml deploy/helm/stoker/files/")
	}
}

// expressions are the queries of the board and of the alerts, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("dashboards/stoker.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	ids, list := make(map[int]bool), make(map[string]string)
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: id %d, place %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			list["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			list["alert "+r.Alert] = r.Expr
		}
	}
	return list
}

var metricName = regexp.MustCompile(`\bstoker_[a-z_]+[a-z]\b`)

// base is a metric's name without what a histogram adds to it.
func base(name string, known map[string]bool) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if b := strings.TrimSuffix(name, suffix); b != name && known[b] {
			return b
		}
	}
	return name
}

// Each metric of board and alerts is one of a running daemon, and each of the daemon's is shown or left out on purpose.
//
// Broken by: a metric that is renamed, or misspelt in a panel; a new metric that is forgotten.
func TestMetricsExist(t *testing.T) {
	known := make(map[string]bool)
	for _, line := range strings.Split(scrape(t), "\n") {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" && strings.HasPrefix(f[2], "stoker_") {
			known[f[2]] = true
		}
	}
	used := make(map[string]bool)
	for place, expr := range expressions(t) {
		for _, name := range metricName.FindAllString(expr, -1) {
			b := base(name, known)
			if used[b] = true; !known[b] {
				t.Errorf("%s: a daemon has no metric %s", place, name)
			}
		}
	}
	for name := range known {
		if _, out := leftOut[name]; !out && !used[name] {
			t.Errorf("%s is neither shown nor left out on purpose", name)
		}
	}
	for name := range leftOut {
		if !known[name] || used[name] {
			t.Errorf("%s is left out, but known: %v, used: %v", name, known[name], used[name])
		}
	}
}

// Each alert has a test in which it fires and one in which it clears.
func TestAlertsHaveTests(t *testing.T) {
	b, err := os.ReadFile("alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			if n := strings.Count(string(b), fmt.Sprintf("alertname: %s\n", r.Alert)); n < 2 {
				t.Errorf("%s has %d tests", r.Alert, n)
			}
		}
	}
}

// promtool agrees that each fires and clears.
func TestAlertsFireAndClear(t *testing.T) {
	promtool(t, "test", "rules", absolute(t, "alerts_test.yaml"))
	promtool(t, "check", "rules", "--lint-fatal", absolute(t, "alerts.yaml"))
}

// promtool can fail: an alert that never fires is found.
func TestPromtoolFindsASilentAlert(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"alerts.yaml", "alerts_test.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "stoker_job_warm_ratio < 0.95", "stoker_job_warm_ratio < 0.05")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := promtoolCommand(t, "test", "rules", filepath.Join(dir, "alerts_test.yaml")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "StokerJobCold") {
		t.Errorf("%v\n%s", err, out)
	}
}

// promtoolCommand runs promtool, which takes minutes to build: `make alerts` does.
func promtoolCommand(t *testing.T, arg ...string) *exec.Cmd {
	t.Helper()
	if os.Getenv("STOKER_PROMTOOL") == "" {
		t.Skip("make alerts tries the alerts with promtool")
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "promtool"}, arg...)...)
	cmd.Dir = "../promtool"
	return cmd
}

func promtool(t *testing.T, arg ...string) {
	t.Helper()
	if out, err := promtoolCommand(t, arg...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arg, " "), err, out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// The board has the rows that an operator looks for.
func TestBoardHasTheRows(t *testing.T) {
	b, err := os.ReadFile("dashboards/stoker.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct{ Type, Title string }
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, p := range board.Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
		}
	}
	want := []string{"Is all well?", "Jobs", "Freshness and warmth", "Freshness objectives",
		"Change feed", "Queue", "Source and cache load"}
	if !slices.Equal(rows, want) || board.UID != "stoker" || board.SchemaVersion < 36 {
		t.Errorf("rows %q, uid %s, schema %d", rows, board.UID, board.SchemaVersion)
	}
}
