package warmz_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/warmz"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// run is a complete run of some keys that took a while.
func run(keys int64, took time.Duration) web.JobStatus {
	last := store.Record{State: store.StateOK, Start: now.Add(-time.Hour - took), End: now.Add(-time.Hour), Keys: keys}
	return web.JobStatus{Name: "j", Keys: keys, LastSuccess: last.End, LastComplete: &last, LastRun: &last}
}

// Broken by: a job that never ran and counts as warm; an empty one that counts as cold; a sample of all alike that is
// said to be exact; a cold small job that a warm large one hides; an ETA where a run waits.
func TestOf(t *testing.T) {
	sampled := func(st web.JobStatus, share float64, n int) web.JobStatus {
		st.Warmth, st.Sampled = &share, n
		return st
	}
	running := func(st web.JobStatus, rows, expected int64, since time.Duration, waiting string) web.JobStatus {
		st.Running = &store.Progress{Start: now.Add(-since), Rows: rows, Expected: expected, Waiting: waiting}
		return st
	}
	large := sampled(run(1_000_000, time.Minute), 1, 400)
	const missing = "j: keys are missing, and it has no schedule: stoker warm j"
	unknown := web.JobStatus{Name: "j"}
	several := []web.JobStatus{running(run(1000, time.Second), 500, 1000, 10*time.Second, ""),
		run(1000, 20*time.Second), run(1000, 30*time.Second)}
	failed := func(of string) web.JobStatus {
		return web.JobStatus{Name: "j", Failures: []web.Failure{{Of: of, Message: "x", At: now}}}
	}
	list := func(l ...web.JobStatus) []web.JobStatus { return l }
	for name, test := range map[string]struct {
		jobs []web.JobStatus
		warm bool // to 99 %
		want string
	}{
		"no job":       {nil, true, "100 % warm"},
		"all there":    {list(large), true, "100 % warm (± 0.8 at 95 %)"},
		"a small set":  {list(sampled(run(100, 1), 1, 100)), true, "100 % warm"},
		"an empty set": {list(run(0, 1)), true, "100 % warm"},
		"never run":    {list(unknown), false, "0 % warm: j: it has never been run"},
		"half is gone": {list(sampled(run(1_000_000, 1), 0.5, 400)), false,
			"50 % warm (± 4.9 at 95 %): " + missing},
		"just under": {list(sampled(run(1_000_000, 1), 0.9899, 400)), false,
			"98.99 % warm (± 1.0 at 95 %): " + missing},
		"a small cold one": {list(large, sampled(run(10, 1), 0, 10)), false,
			"99.99 % warm (± 0.8 at 95 %): " + missing},
		"a run that goes on": {list(running(unknown, 250_000, 1_000_000, 2*time.Second, "")), false,
			"25 % warm, all in about 6s: j: its run has read 250000 rows of about 1000000"},
		"more rows than expected": {list(running(unknown, 12, 10, 2*time.Second, "")), true,
			"99.9 % warm: j: its run has read 12 rows of about 10"},
		"a run that waits": {list(running(large, 1, 1_000_000, time.Second, "redis is full")), true,
			"100 % warm (± 0.8 at 95 %)"},
		"a cold run that waits": {list(running(unknown, 1, 10, time.Second, "redis is full")), false,
			"10 % warm: j: its run waits: redis is full"},
		"a run that failed": {list(failed(web.FailedRun)), false,
			"0 % warm: j: the last run failed (stoker status says why)"},
		"a Redis that is full": {list(failed(web.FailedMemory)), false,
			"0 % warm: j: keys are evicted (stoker status says why)"},
		"two at a time": {several, false, "16.66 % warm (± 47.2 at 95 %), all in about 30s: " +
			"j: its run has read 500 rows of about 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			r := warmz.Of(test.jobs, 2, now)
			if got := r.String(); got != test.want || r.Warm(0.99) != test.warm {
				t.Errorf("%v %q, want %v %q", r.Warm(0.99), got, test.warm, test.want)
			}
		})
	}
}

// Broken by: a percent sign that makes the parameter vanish, a typing error that is taken for no parameter.
func TestHandler(t *testing.T) {
	l := storetest.NewLedger()
	rec := store.Record{Job: "a", State: store.StateOK, Start: now, End: now, Keys: 100}
	if err := l.Add(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	spec := &jobs.Spec{Jobs: []*jobs.Job{{Name: "a", Key: key(t, "a:{id}")}, {Name: "b", Key: key(t, "b:{id}")}}}
	h := warmz.NewHandler(warmz.Config{Spec: func() *jobs.Spec { return spec }, Ledger: l, Sampler: half{}, Slots: 1})
	for query, want := range map[string]string{
		"":                   "503 25 % warm",
		"?job=a":             "503 50 % warm",
		"?min=50%&job=a":     "200 50 % warm",
		"?min=50%25&job=a":   "200 50 % warm",
		"?job=a&min=50%":     "200 50 % warm",
		"?min=50.1%&job=a":   "503 50 % warm",
		"?min=0%&job=":       "200 ",
		"?job=a&job=b":       "503 ",
		"?job=c":             `400 there is no job "c"`,
		"?min=0.99":          "400 min: write a share as 99%",
		"?min=101%":          "400 min: ",
		"?min=NaN%":          "400 min: ",
		"?min=":              "400 min: ",
		"?jobs=a":            `400 there is no parameter "jobs"`,
		"?min=99%&job=a%zzz": "400 there is no job",
	} {
		req := httptest.NewRequest("GET", "/warmz"+strings.ReplaceAll(query, "%", "%25"), nil)
		req.URL.RawQuery = strings.TrimPrefix(query, "?")
		req.Header.Set("Accept", "text/plain")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		status, text, _ := strings.Cut(want, " ")
		if body := rec.Body.String(); !strings.HasPrefix(body, text) && !strings.Contains(query, "job=a&job=b") ||
			status != strings.Fields(rec.Result().Status)[0] {
			t.Errorf("%s: %d %s, want %s", query, rec.Code, body, want)
		}
	}
	req, answer := httptest.NewRequest("GET", "/warmz?job=a", nil), httptest.NewRecorder()
	h.ServeHTTP(answer, req)
	var r warmz.Report
	if err := json.Unmarshal(answer.Body.Bytes(), &r); err != nil || len(r.Jobs) != 1 || r.Jobs[0].Keys != 100 {
		t.Errorf("%s: %v", answer.Body, err)
	}
}

// half is a cache in which half of job a's keys are.
type half struct{}

func (half) Warmth(_ context.Context, job string) (present, sampled int, err error) {
	if job == "a" {
		return 20, 40, nil
	}
	return 0, 0, nil
}

func key(t *testing.T, template string) *jobs.KeyTemplate {
	k, err := jobs.ParseKeyTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
