package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// collected is a collector: what it has got by OTLP over HTTP.
type collected struct {
	mu       sync.Mutex
	raw      bytes.Buffer
	spans    []*otlp.Span
	services []string
	auth     string
}

func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var got collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &got)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	c.auth = r.Header.Get("Authorization")
	for _, resource := range got.ResourceSpans {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				c.services = append(c.services, a.Value.GetStringValue())
			}
		}
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// within returns the spans of a name, of one trace or, with nil, of any.
func (c *collected) within(trace []byte, name string) (list []*otlp.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if (trace == nil || bytes.Equal(trace, s.TraceId)) && (name == "" || s.Name == name) {
			list = append(list, s)
		}
	}
	return list
}

// linked returns the spans of a name that are linked to one of the others.
func (c *collected) linked(name string, to []*otlp.Span) (list []*otlp.Span) {
	for _, s := range c.within(nil, name) {
		for _, l := range s.Links {
			if slices.ContainsFunc(to, func(t *otlp.Span) bool { return bytes.Equal(t.SpanId, l.SpanId) }) {
				list = append(list, s)
				break
			}
		}
	}
	return list
}

func number(s *otlp.Span, name string) int64 {
	for _, a := range s.Attributes {
		if a.Key == name {
			return a.Value.GetIntValue()
		}
	}
	return 0
}

const traceSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}", token: s3cret-token-of-the-page}
changes: {source: wal}
defaults: {ttl: 1h}
jobs:
  - {name: many, key: "m:{id}", query: "SELECT id, name FROM many", schedule: "@every 2s",
     volatile: true, watch: [{table: many, key: {id: id}}]}
`

// The shipped binary, a collector, and all that a span is made of: a tick, linked to it a run with its snapshot and
// batches, a change that is fresh, and an invalidation in the trace of its caller. Broken by: spans that are not sent
// at the end; a parent that is lost between the request and the worker; a span for each of a run's commands; the text
// of a
// query, or a password.
func TestTracesAreExported(t *testing.T) {
	t.Parallel()
	const rows = 8_000
	got := &collected{}
	server := httptest.NewServer(got)
	defer server.Close()
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE TABLE many (id int PRIMARY KEY, name text)",
		fmt.Sprintf("INSERT INTO many SELECT i, 'name ' || i FROM generate_series(1, %d) i", rows))
	w.vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = server.URL
	w.vars["OTEL_EXPORTER_OTLP_HEADERS"] = "Authorization=Bearer%20s3cret-header"
	w.vars["OTEL_SERVICE_NAME"] = "shop-cache"
	w.vars["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment=test"
	spec := specFile(t, traceSpec)
	d := start(t, w.vars, "run", "--config", spec)
	eventually(t, 30*time.Second, "changes are followed, and the job has run", func() (bool, error) {
		runs := records(t, w.client, "many")
		followed := strings.Contains(d.log.String(), "changes are followed")
		return followed && len(runs) > 1 && runs[0].State == store.StateOK, nil
	})
	storetest.Exec(t, w.vars["PG"], "UPDATE many SET name = 'new' WHERE id = 5")
	eventually(t, 10*time.Second, "the change is fresh", func() (bool, error) {
		v, err := w.client.Get(t.Context(), "m:5").Result()
		return v == `{"id":5,"name":"new"}`, err
	})
	const caller, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+w.vars["LISTEN"]+"/api/v1/jobs/many/invalidate?wait=1", strings.NewReader(`{"keys":[{"id":6}]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer s3cret-token-of-the-page")
	request.Header.Set("traceparent", "00-"+caller+"-"+parent+"-01")
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%+v, %v", answer, err)
	}
	answer.Body.Close()
	if status := d.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}

	runs := got.linked("run many", got.within(nil, "tick many"))
	if len(runs) == 0 {
		t.Fatalf("no run is linked to a tick; spans: %v", names(got))
	}
	whole := false
	for _, run := range runs {
		of := got.within(run.TraceId, "")
		keys := int64(0)
		for _, s := range got.within(run.TraceId, "batches many") {
			keys += number(s, "stoker.keys")
		}
		if len(of) > 60 || run.ParentSpanId != nil {
			t.Errorf("a run has %d spans, and the parent %x", len(of), run.ParentSpanId)
		}
		whole = whole || keys == rows && len(got.within(run.TraceId, "snapshot many")) == 1 &&
			len(got.within(run.TraceId, "pool.acquire")) > 0 && len(got.within(run.TraceId, "SELECT")) == 1
	}
	if !whole {
		t.Errorf("no run has a snapshot, its query and batches of %d keys; spans: %v", rows, names(got))
	}
	fresh := got.linked("refresh many", got.within(nil, "change many"))
	if len(fresh) == 0 || len(got.within(fresh[0].TraceId, "snapshot many")) == 0 {
		t.Errorf("no refresh is linked to the change; spans: %v", names(got))
	}
	trace, err := hex.DecodeString(caller)
	if err != nil {
		t.Fatal(err)
	}
	asked, refreshed := got.within(trace, "invalidate many"), got.within(trace, "refresh many")
	if len(asked) != 1 || hex.EncodeToString(asked[0].ParentSpanId) != parent ||
		number(asked[0], "http.response.status_code") != int64(answer.StatusCode) {
		t.Errorf("the request: %v", asked)
	} else if len(refreshed) != 1 || !bytes.Equal(refreshed[0].ParentSpanId, asked[0].SpanId) {
		t.Errorf("its refresh: %v", refreshed)
	}
	if len(got.within(trace, "evalsha")) == 0 {
		t.Errorf("the request's commands: %v", names(got))
	}
	got.wantNoSecrets(t, w.vars["PG"])
	if n := strings.Count(d.log.String(), "level=ERROR"); n > 0 || strings.Contains(d.log.String(), "s3cret") {
		t.Errorf("the log:\n%s", d.log)
	}
}

func names(c *collected) map[string]int {
	list := make(map[string]int)
	for _, s := range c.within(nil, "") {
		list[s.Name]++
	}
	return list
}

// wantNoSecrets: what is secret went in the header alone, and no text of a query anywhere.
func (c *collected) wantNoSecrets(t *testing.T, url string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"s3cret", "SELECT id", "FROM many", "db.query.text", "db.statement", url} {
		if bytes.Contains(c.raw.Bytes(), []byte(secret)) {
			t.Errorf("%q is told", secret)
		}
	}
	if c.auth != "Bearer s3cret-header" || !slices.Contains(c.services, "shop-cache") {
		t.Errorf("the collector was given %q by %v", c.auth, c.services)
	}
}

// Work goes on without a collector, and says so once; a command takes its trace from its environment; and a wrong value
// ends with status 2 before anything is done. Broken by: an export that is waited for; a line a span.
func TestTracesNeverHurt(t *testing.T) {
	t.Parallel()
	vars, spec := newTicks(t)
	vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://" + freeAddress(t) // nobody listens
	vars["OTEL_BSP_SCHEDULE_DELAY"] = "100"
	d := start(t, vars, "run", "--config", spec)
	eventually(t, 20*time.Second, "ticks complete, and the collector is missed", func() (bool, error) {
		return len(records(t, client(t, vars["RD"]), "quick")) > 2 &&
			strings.Contains(d.log.String(), "traces are not exported"), nil
	})
	if status := d.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("the daemon ended with status %d", status)
	}
	if n := strings.Count(d.log.String(), "traces are not exported"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, d.log)
	}

	vars["OTEL_TRACES_SAMPLER"], vars["OTEL_EXPORTER_OTLP_PROTOCOL"] = "sometimes", "grpc"
	for _, args := range [][]string{{"run"}, {"warm", "quick"}, {"invalidate", "quick", "id=1"}} {
		r := stoker(t, vars, append(args, "--config", spec)...)
		if r.status != exitWrong || !strings.Contains(r.stderr, `OTEL_TRACES_SAMPLER is "sometimes"`) ||
			!strings.Contains(r.stderr, "give http/protobuf") || r.stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	vars["OTEL_SDK_DISABLED"] = "true"
	if r := stoker(t, vars, "warm", "quick", "--local", "--config", spec); r.status != 0 {
		t.Errorf("disabled: %+v", r)
	}
}

// A command is in the trace of the script that it is called by, and what it asks for is, too. Broken by: a command that
// ends before its spans are sent.
func TestACommandIsInItsCallersTrace(t *testing.T) {
	t.Parallel()
	got := &collected{}
	server := httptest.NewServer(got)
	defer server.Close()
	vars, spec := newTicks(t)
	vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = server.URL
	vars["TRACEPARENT"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if p := start(t, vars, "warm", "quick", "--local", "--config", spec); p.wait(20*time.Second) != 0 {
		t.Errorf("it failed:\n%s", p.log)
	}
	for name, most := range map[string]int{"warm": 1, "run quick": 1, "snapshot quick": 1, "batches quick": 3} {
		list := got.within(nil, name)
		if len(list) == 0 || len(list) > most ||
			hex.EncodeToString(list[0].TraceId) != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s: %v", name, list)
		}
	}
}
