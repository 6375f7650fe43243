package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/mask"
)

func TestRoutes(t *testing.T) {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "stoker_runs_total", Help: "runs"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(counter)
	s := newServer(t, func(cfg *Config) {
		cfg.Gatherer = registry
		cfg.Ledger, cfg.Sampler = sample(time.Now())
	})
	const html, jsonType, text = "text/html; charset=utf-8", "application/json; charset=utf-8",
		"text/plain; charset=utf-8"
	tests := []struct {
		method, target, accept string
		status                 int
		contentType, body      string
	}{
		{"GET", "/", asBrowser, 200, html, "top-sellers"},
		{"HEAD", "/", asBrowser, 200, html, ""},
		{"GET", "/jobs/product", asBrowser, 200, html, "20,120"},
		{"GET", "/jobs/nope", asBrowser, 404, html, "product, top-sellers, price, banner"},
		{"GET", "/api/v1/jobs", "", 200, jsonType, `"name":"product"`},
		{"GET", "/api/v1/jobs/product", "", 200, jsonType, `"runs":[{"id":"warm:product@946684200"`},
		{"GET", "/api/v1/jobs/product?runs=1", "", 200, jsonType, `"runs":[`},
		{"GET", "/api/v1/jobs/price", "", 200, jsonType, `"runs":[]`},
		{"GET", "/api/v1/jobs/product?runs=0", "", 400, jsonType, "from 1 to 200"},
		{"GET", "/api/v1/jobs/product?runs=x", "", 400, jsonType, "from 1 to 200"},
		{"GET", "/api/v1/jobs/nope", "", 404, jsonType, `no job \"nope\"`},
		{"POST", "/api/v1/jobs/product/warm", "", 202, jsonType, `{"task_id":"task-1","queue":"stoker-run"}`},
		{"POST", "/api/v1/jobs/nope/warm", "", 404, jsonType, "product, top-sellers"},
		{"GET", "/api/v1/jobs/product/warm", "", 405, jsonType, "use POST"},
		{"DELETE", "/api/v1/jobs/product", "", 405, jsonType, "use GET"},
		{"GET", "/api/v2/jobs", asBrowser, 404, jsonType, "/api/v1/jobs"},
		{"GET", "/nope", asBrowser, 404, html, "/nope"},
		{"GET", "/nope", "", 404, jsonType, "/nope"},
		{"GET", "/metrics", "", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
			"stoker_runs_total 0"},
		{"GET", "/livez", "", 200, text, "alive"},
		{"GET", "/readyz", "", 200, text, "ready"},
		{"GET", "/queues/", asBrowser, 404, html, "not part of this process"},
		{"GET", "/login", asBrowser, 303, html, ""},
		{"GET", "/static/style.css", "", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"GET", "/static/page.js", "", 200, "text/javascript; charset=utf-8", "data-live"},
		{"GET", "/static/icon.svg", "", 200, "image/svg+xml", "<svg"},
		{"GET", "/static/nope.css", "", 404, jsonType, "nope.css"},
		{"GET", "/static/..%2ftemplates%2fjob.html", "", 404, jsonType, "no file"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			var headers []string
			if tt.accept != "" {
				headers = append(headers, tt.accept)
			}
			w := call(s, tt.method, tt.target, "", headers...)
			wantStatus(t, w, tt.status)
			wantHeader(t, w, "Content-Type", tt.contentType)
			wantBody(t, w, tt.body)
		})
	}
}

func TestAPIGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, sampler := sample(time.Now())
		s := newServer(t, func(cfg *Config) { cfg.Ledger, cfg.Sampler = ledger, sampler })
		for name, target := range map[string]string{
			"jobs.golden.json": "/api/v1/jobs", "job.golden.json": "/api/v1/jobs/top-sellers",
		} {
			w := call(s, "GET", target, "")
			wantStatus(t, w, http.StatusOK)
			golden(t, name, indent(t, w.Body.Bytes()))
		}
	})
}

func indent(t *testing.T, text []byte) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestAPIRedisDown(t *testing.T) {
	down := errors.New("dial tcp 127.0.0.1:6379: connect: connection refused")
	s := newServer(t, func(cfg *Config) {
		errs := map[string]error{}
		for _, job := range cfg.Spec.Jobs {
			errs[job.Name] = down
		}
		cfg.Ledger, cfg.Sampler = fakeLedger{errs: errs}, fakeSampler{errs: errs}
		cfg.Enqueuer = &fakeQueue{failAt: 1}
	})
	for _, target := range []string{"/api/v1/jobs", "/api/v1/jobs/product"} {
		w := call(s, "GET", target, "")
		wantStatus(t, w, http.StatusServiceUnavailable)
		wantBody(t, w, `"name":"product"`, "connection refused")
	}
	w := call(s, "POST", "/api/v1/jobs/product/warm", "")
	wantStatus(t, w, http.StatusServiceUnavailable)
	wantBody(t, w, "connection refused", "try again")
}

// What drivers quote in their errors must not come out anywhere.
func TestSecretsStayIn(t *testing.T) {
	leak := fmt.Errorf("parse %q: invalid port; token %s", "redis://:redis-secret-word@cache.internal:6379/0",
		testToken)
	var log interface{ String() string }
	s := newServer(t, func(cfg *Config) {
		withToken(cfg)
		ledger, sampler := sample(time.Now())
		ledger.errs = map[string]error{"price": leak}
		ledger.runs["product"][0].Warning = leak.Error()
		ledger.runs["top-sellers"][0].Error = leak.Error()
		ledger.runs["top-sellers"][1].Error = leak.Error()
		cfg.Ledger, cfg.Sampler = ledger, sampler
		cfg.Ready = func(context.Context) error { return leak }
		cfg.Fencer = fencerFunc(func(*jobs.Job, []jobs.Key) error { return leak })
		log = captureLog(cfg)
	})
	bearer := "Authorization: Bearer " + testToken
	answers := []string{
		call(s, "GET", "/", "", bearer, asBrowser).Body.String(),
		call(s, "GET", "/jobs/top-sellers", "", bearer, asBrowser).Body.String(),
		call(s, "GET", "/api/v1/jobs", "", bearer).Body.String(),
		call(s, "GET", "/api/v1/jobs/top-sellers", "", bearer).Body.String(),
		call(s, "GET", "/readyz", "").Body.String(),
		call(s, "POST", "/api/v1/jobs/product/invalidate", `{"keys":[{"id":1}]}`, bearer).Body.String(),
		log.String(),
	}
	const accepts, logs = 5, 6 // what shows no error in its answer
	for i, text := range answers {
		if !strings.Contains(text, mask.Masked) && i != accepts && i != logs {
			t.Errorf("answer %d does not show the error at all: %s", i, text)
		}
		for _, secret := range []string{"redis-secret-word", testToken} {
			if strings.Contains(text, secret) {
				t.Errorf("answer %d prints %q: %s", i, secret, text)
			}
		}
	}
}

func TestInvalidate(t *testing.T) {
	tests := []struct {
		name, job, body string
		want            string // the answer
		task            any    // its payload: jobs.Run or jobs.Invalidation
	}{
		{
			"scalars of every kind", "product", `{"keys":[{"id":5},{"id":"6"},{"id":12345678901234567890.10},{"id":true}]}`,
			`{"keys":4,"task_ids":["task-1"],"queue":"stoker-refresh"}`,
			jobs.Invalidation{Job: "product", Keys: []jobs.Key{{"id": "5"}, {"id": "6"},
				{"id": "12345678901234567890.10"}, {"id": "true"}}},
		},
		{
			"two columns", "price", `{"keys":[{"sku":"a\"b","shop":1}]}`,
			`{"keys":1,"task_ids":["task-1"],"queue":"stoker-refresh"}`,
			jobs.Invalidation{Job: "price", Keys: []jobs.Key{{"sku": `a"b`, "shop": "1"}}},
		},
		{
			"constant key", "banner", `{"keys":[{}]}`,
			`{"keys":1,"task_ids":["task-1"],"queue":"stoker-refresh"}`,
			jobs.Invalidation{Job: "banner", Keys: []jobs.Key{{}}},
		},
		{
			"remove", "product", `{"keys":[{"id":5}],"remove":true}`,
			`{"keys":1,"remove":true,"task_ids":["task-1"],"queue":"stoker-refresh"}`,
			jobs.Invalidation{Job: "product", Keys: []jobs.Key{{"id": "5"}}, Remove: true},
		},
		{
			"all", "product", `{"all":true}`, `{"all":true,"task_ids":["task-1"],"queue":"stoker-run"}`,
			jobs.Run{Job: "product", Cause: jobs.CauseAPI},
		},
		{
			"remove all", "product", `{"all":true,"remove":true}`,
			`{"all":true,"remove":true,"task_ids":["task-1"],"queue":"stoker-run"}`,
			jobs.Run{Job: "product", Cause: jobs.CauseAPI, Remove: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queue := &fakeQueue{}
			s := newServer(t, func(cfg *Config) { cfg.Enqueuer = queue })
			w := call(s, "POST", "/api/v1/jobs/"+tt.job+"/invalidate", tt.body)
			wantStatus(t, w, http.StatusAccepted)
			if got := strings.TrimSpace(w.Body.String()); got != tt.want {
				t.Errorf("answer %s, want %s", got, tt.want)
			}
			var got any
			var err error
			if len(queue.tasks) != 1 {
				t.Fatalf("%d tasks, want 1", len(queue.tasks))
			}
			if _, run := tt.task.(jobs.Run); run {
				got, err = jobs.ParseRun(queue.tasks[0])
			} else {
				got, err = jobs.ParseInvalidation(queue.tasks[0])
			}
			if diff := cmp.Diff(tt.task, got); err != nil || diff != "" {
				t.Errorf("payload (-want +got), %v:\n%s", err, diff)
			}
		})
	}
}

func TestInvalidateRefused(t *testing.T) {
	tests := []struct {
		name, job, body string
		status          int
		says            []string
	}{
		{"unknown job", "nope", `{"all":true}`, 404, []string{`no job \"nope\"`, "product"}},
		{"empty", "product", ``, 400, []string{"the body is empty", `\"keys\"`}},
		{"nothing asked", "product", `{}`, 400, []string{"no keys are given"}},
		{"null", "product", `null`, 400, []string{"no keys are given"}},
		{"no keys", "product", `{"keys":[]}`, 400, []string{"no keys are given"}},
		{"both", "product", `{"keys":[],"all":true}`, 400, []string{"send one of them"}},
		{"unknown field", "product", `{"key":[{"id":1}]}`, 400, []string{`unknown field \"key\"`}},
		{"not JSON", "product", "{\"keys\":\n [{id:1}]}", 400, []string{"not JSON at line 2, column 4"}},
		{"a form", "product", "keys=1", 400, []string{"not JSON at line 1, column 1"}},
		{"cut off", "product", `{"keys":[`, 400, []string{"unexpected EOF"}},
		{"an array", "product", `[{"id":1}]`, 400, []string{"the body cannot be of type array"}},
		{"wrong type", "product", `{"all":"yes"}`, 400, []string{`\"all\" cannot be of type string`}},
		{"two objects", "product", `{"all":true}{}`, 400, []string{"more after the JSON object"}},
		{"key is a scalar", "product", `{"keys":[{"id":1},5]}`, 400, []string{"keys[1] is 5", "a key is an object"}},
		{"key is null", "product", `{"keys":[null]}`, 400, []string{"keys[0] is null"}},
		{"column missing", "price", `{"keys":[{"sku":"a"}]}`, 400,
			[]string{"keys[0] lacks shop", "price:{shop}:{sku}", "give shop, sku"}},
		{"wrong column", "product", `{"keys":[{"id":1},{"id":2,"sku":3}]}`, 400,
			[]string{`keys[1] has \"sku\"`, "product:{id}"}},
		{"no such columns", "banner", `{"keys":[{"id":1}]}`, 400, []string{`keys[0] has \"id\"`, "one key banner"}},
		{"column twice", "product", `{"keys":[{"id":1,"id":2}]}`, 400, []string{"keys[0] gives id twice"}},
		{"null value", "product", `{"keys":[{"id":null}]}`, 400, []string{"keys[0] has null as id"}},
		{"array value", "product", `{"keys":[{"id":[1]}]}`, 400, []string{"keys[0] has an object or an array as id"}},
		{"misfit", "product", `{"keys":[{"id":1},{"id":"x"}]}`, 400,
			[]string{`value \"x\" does not fit key column id of type bigint`, "nothing was enqueued"}},
		{"wrong query", "product", `{"keys":[{"id":"broken"}]}`, 503,
			[]string{"could not be fenced", "nothing was enqueued", "no column id"}},
		{"too many keys", "product", manyKeys(maxInvalidateKeys + 1), 400, []string{"10001 keys", "at most 10000"}},
		{"too large", "product", `{"keys":[` + strings.Repeat(" ", maxInvalidateBody), 413, []string{"4 MiB"}},
	}
	check := fencerFunc(func(job *jobs.Job, keys []jobs.Key) error {
		for _, key := range keys {
			switch key["id"] {
			case "x":
				return fmt.Errorf("check: %w", &store.KeyValueError{Job: job.Name, Column: "id", Type: "bigint",
					Value: "x", Message: "invalid input syntax"})
			case "broken":
				return &store.ShapeError{Job: job.Name, Message: "no column id"}
			}
		}
		return nil
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			queue := &fakeQueue{}
			s := newServer(t, func(cfg *Config) { cfg.Enqueuer, cfg.Fencer = queue, check })
			w := call(s, "POST", "/api/v1/jobs/"+tt.job+"/invalidate", tt.body)
			wantStatus(t, w, tt.status)
			wantBody(t, w, `{"error":"`)
			wantBody(t, w, tt.says...)
			if len(queue.tasks) > 0 {
				t.Errorf("%d tasks were enqueued by a wrong call", len(queue.tasks))
			}
		})
	}
}

// An invalidation must not be lost because the database is away for a moment.
func TestInvalidateWhileTheDatabaseIsAway(t *testing.T) {
	queue := &fakeQueue{}
	s := newServer(t, func(cfg *Config) {
		cfg.Enqueuer = queue
		cfg.Fencer = fencerFunc(func(*jobs.Job, []jobs.Key) error { return errors.New("no route to host") })
	})
	wantStatus(t, call(s, "POST", "/api/v1/jobs/product/invalidate", `{"keys":[{"id":1}]}`), http.StatusAccepted)
	if len(queue.tasks) != 1 {
		t.Errorf("%d tasks were enqueued, want 1", len(queue.tasks))
	}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"id":%d}`, i)
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

func TestInvalidateSplits(t *testing.T) {
	queue := &fakeQueue{}
	s := newServer(t, func(cfg *Config) { cfg.Enqueuer = queue })
	w := call(s, "POST", "/api/v1/jobs/product/invalidate", manyKeys(maxInvalidateKeys))
	wantStatus(t, w, http.StatusAccepted)
	if len(queue.tasks) != maxInvalidateKeys/jobs.MaxKeys {
		t.Fatalf("%d tasks", len(queue.tasks))
	}
	seen := map[string]bool{}
	for _, task := range queue.tasks {
		inv, err := jobs.ParseInvalidation(task)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range inv.Keys {
			seen[key["id"]] = true
		}
	}
	if len(seen) != maxInvalidateKeys {
		t.Errorf("%d keys arrived, want %d", len(seen), maxInvalidateKeys)
	}
}

func TestInvalidateQueueFailsInTheMiddle(t *testing.T) {
	s := newServer(t, func(cfg *Config) { cfg.Enqueuer = &fakeQueue{failAt: 3} })
	w := call(s, "POST", "/api/v1/jobs/product/invalidate", manyKeys(1500))
	wantStatus(t, w, http.StatusServiceUnavailable)
	wantBody(t, w, "2 of 3 tasks were enqueued", "send it all again", `"task_ids":["task-1","task-2"]`)
}
