package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// fakeScope finds n keys of each job that has the column, in parts, and fails after some.
type fakeScope struct {
	has    map[string]string // :: job -> its column
	n      int
	after  int // keys; 0: it does not fail
	asked  []jobs.Where
	fenced int
}

func (f *fakeScope) Check(_ context.Context, job *jobs.Job, where jobs.Where) error {
	for _, c := range where.Columns() {
		if c != f.has[job.Name] {
			return &jobs.NoColumnError{Job: job.Name, Column: c, Has: []string{f.has[job.Name]}}
		}
		if slices.Contains(where[c], "x") {
			return &store.KeyValueError{Job: job.Name, Column: c, Type: "bigint", Value: "x", Where: true}
		}
	}
	return nil
}

func (f *fakeScope) Fence(_ context.Context, job *jobs.Job, where jobs.Where, fenced func([]jobs.Key) error) error {
	f.asked = append(f.asked, where)
	for at := 0; at < f.n; at += jobs.MaxKeys {
		if f.after > 0 && at >= f.after {
			return errors.New("dial tcp: connection refused")
		}
		var keys []jobs.Key
		for i := at; i < min(at+jobs.MaxKeys, f.n); i++ {
			keys = append(keys, jobs.Key{job.Key.Columns()[0]: strconv.Itoa(i)})
		}
		f.fenced += len(keys)
		if err := fenced(keys); err != nil {
			return err
		}
	}
	return nil
}

// A condition is asked of one job, or of every one that has its columns; each part that is fenced is a task.
func TestInvalidateWhere(t *testing.T) {
	for name, tc := range map[string]struct{ path, body, want string }{
		"one job": {"/api/v1/jobs/product/invalidate", `{"where": {"supplier": 7}}`,
			`{"keys":1200,"fenced":true,"task_ids":["task-1","task-2","task-3"],"queue":"stoker-refresh"}`},
		"all jobs": {"/api/v1/invalidate", `{"where": {"supplier": [7, "8"]}, "remove": true}`,
			`{"keys":2400,"jobs":{"product":1200,"top-sellers":1200},"remove":true,"fenced":true,"task_ids":` +
				`["task-1","task-2","task-3","task-4","task-5","task-6"],"queue":"stoker-refresh"}`},
	} {
		t.Run(name, func(t *testing.T) {
			queue, scope := &fakeQueue{}, &fakeScope{n: 1200, has: map[string]string{"product": "supplier",
				"top-sellers": "supplier", "price": "sku"}}
			s := newServer(t, func(cfg *Config) { cfg.Enqueuer, cfg.Scope = queue, scope })
			w := call(s, "POST", tc.path, tc.body)
			wantStatus(t, w, http.StatusAccepted)
			if d := cmp.Diff(tc.want, strings.TrimSpace(w.Body.String())); d != "" {
				t.Error(d)
			}
			keys := 0
			for _, task := range queue.tasks {
				inv, err := jobs.ParseInvalidation(task)
				if err != nil {
					t.Fatal(err)
				}
				keys += len(inv.Keys)
				if remove := name == "all jobs"; inv.Remove != remove || inv.Fenced == remove {
					t.Errorf("a task that removes: %t, and is fenced: %t", inv.Remove, inv.Fenced)
				}
			}
			if keys != scope.fenced {
				t.Errorf("%d keys are fenced, %d enqueued", scope.fenced, keys)
			}
			if got := scope.asked[0]["supplier"][0]; got != "7" {
				t.Errorf("asked for %q", got)
			}
		})
	}
}

// What is wrong is refused before any key is fenced; what comes to no end says what is enqueued.
func TestInvalidateWhereRefused(t *testing.T) {
	const one, all = "/api/v1/jobs/product/invalidate", "/api/v1/invalidate"
	for name, tc := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"with keys":       {one, `{"where": {"a": 1}, "keys": [{"id": 1}]}`, 400, `\"where\" is given with \"keys\" or \"all\"`},
		"with all":        {one, `{"where": {"a": 1}, "all": true}`, 400, "send one of them"},
		"no object":       {one, `{"where": 7}`, 400, `\"where\": a condition is an object`},
		"nothing":         {one, `{"where": {}}`, 400, "no column is named"},
		"no values":       {one, `{"where": {"supplier": []}}`, 400, "column supplier has no value"},
		"null":            {one, `{"where": {"supplier": null}}`, 400, "it has null as supplier"},
		"an object":       {one, `{"where": {"supplier": {}}}`, 400, "it has an object as supplier"},
		"twice":           {one, `{"where": {"supplier": 1, "supplier": 2}}`, 400, "it gives supplier twice"},
		"no column":       {one, `{"where": {"category": "x"}}`, 400, `returns no column \"category\"`},
		"no job":          {all, `{"where": {"category": "x"}}`, 400, "no job has a query that returns category"},
		"a value":         {all, `{"where": {"supplier": "x"}}`, 400, `value \"x\" does not fit column supplier`},
		"all, by keys":    {all, `{"keys": [{"id": 1}]}`, 400, "keys, and all keys, are asked of one job"},
		"the cache fails": {one, `{"where": {"supplier": 9}}`, 503, "500 keys were fenced and enqueued before it ended"},
	} {
		queue, scope := &fakeQueue{}, &fakeScope{n: 1200, after: 500, has: map[string]string{"product": "supplier"}}
		s := newServer(t, func(cfg *Config) { cfg.Enqueuer, cfg.Scope = queue, scope })
		w := call(s, "POST", tc.path, tc.body)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if want := map[int]int{400: 0, 503: 1}[tc.status]; len(queue.tasks) != want {
			t.Errorf("%s: %d tasks", name, len(queue.tasks))
		}
	}
	s := newServer(t, nil)
	wantStatus(t, call(s, "POST", all, `{"where": {"a": 1}}`), http.StatusNotImplemented)
}

// A queue that fails in the middle names what it has taken.
func TestInvalidateWhereWithoutAQueue(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.Enqueuer = &fakeQueue{failAt: 3}
		cfg.Scope = &fakeScope{n: 1200, has: map[string]string{"product": "supplier"}}
	})
	w := call(s, "POST", "/api/v1/jobs/product/invalidate", `{"where": {"supplier": 7}}`)
	wantStatus(t, w, http.StatusServiceUnavailable)
	wantBody(t, w, "1000 keys were fenced and enqueued", `"task_ids":["task-1","task-2"]`)
}
