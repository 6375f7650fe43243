package trace

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/jobs/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(vars map[string]string) (*Tracing, string, error) {
	var log bytes.Buffer
	t, err := Open(context.Background(), Config{Version: "v1", Log: slog.New(slog.NewTextHandler(&log, nil)),
		Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }})
	return t, log.String(), err
}

const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"

// Nothing runs unless it is asked for. Broken by: an exporter that is started because of a name, or of another signal's
// endpoint; and one that is left running.
func TestOffUnlessAskedFor(t *testing.T) {
	for _, vars := range []map[string]string{
		{},
		{endpoint: ""},
		{"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "a=b", "OTEL_TRACES_SAMPLER": "jaeger_remote"},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318"},
		{endpoint: "http://collector:4318", "OTEL_SDK_DISABLED": "True"},
		{endpoint: "collector", "OTEL_TRACES_EXPORTER": "none"},
	} {
		before := runtime.NumGoroutine()
		opened, log, err := open(vars)
		if opened != nil || opened.Tracer() != nil || err != nil || log != "" {
			t.Errorf("%v: %v, %v, %q", vars, opened, err, log)
		}
		opened.Close(time.Second)
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%v: %d goroutines, %d before", vars, n, before)
		}
	}
}

func TestOnWhenAskedFor(t *testing.T) {
	for _, vars := range []map[string]string{
		{endpoint: "http://127.0.0.1:1"},
		{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"},
		{"OTEL_TRACES_EXPORTER": "otlp"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://127.0.0.1:1/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
		{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc,x=y",
			"OTEL_EXPORTER_OTLP_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_BSP_MAX_QUEUE_SIZE":  "9",
			"OTEL_RESOURCE_ATTRIBUTES": "a=b, deployment.environment=prod%2C", "OTEL_TRACES_SAMPLER": "traceidratio",
			"OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_PROPAGATORS": "tracecontext,baggage"},
	} {
		opened, log, err := open(vars)
		if opened.Tracer() == nil || err != nil || !strings.Contains(log, "traces are exported") {
			t.Errorf("%v: %v, %v, %q", vars, opened, err, log)
		}
		opened.Close(time.Second)
	}
}

// A wrong value is named, with what to give, and a secret is not repeated. Broken by: one that is taken for unset.
func TestWrongValues(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, value, want string }{
		{"OTEL_SDK_DISABLED", "yes", `is "yes": give true or false`},
		{"OTEL_TRACES_EXPORTER", "jaeger", "OTLP alone"},
		{"OTEL_TRACES_EXPORTER", "otlp,console", "OTLP alone"},
		{endpoint, "collector:4318", "give http://HOST:4318"},
		{endpoint, "http://", "give http://HOST:4318"},
		{endpoint, "http://a b", "give http://HOST:4318"},
		{endpoint, "unix:///run/s3cret", "give http://HOST:4318"},
		{endpoint, "http://u:s3cret@collector:4318", "OTEL_EXPORTER_OTLP_HEADERS"},
		{endpoint, "http://collector:4318/?token=s3cret", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "give http/protobuf"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http", `is "http": give http/protobuf, or http/json`},
		{"OTEL_EXPORTER_OTLP_HEADERS", "Bearer s3cret", "NAME=VALUE"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=%zzs3cret", "NAME=VALUE"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "give gzip, or none"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "cannot be read"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty, "no certificate"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", empty, "go together"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "-1", "whole number"},
		{"OTEL_RESOURCE_ATTRIBUTES", "team", "NAME=VALUE"},
		{"OTEL_PROPAGATORS", "b3", "tracecontext"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "traceidratio"},
		{"OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "traceidratio"},
	} {
		vars := map[string]string{endpoint: "http://collector:4318", test.name: test.value}
		opened, _, err := open(vars)
		wrong, is := errors.AsType[*EnvError](err)
		if opened != nil || !is || wrong.Name != test.name || !strings.Contains(err.Error(), test.want) ||
			strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s=%s: %v", test.name, test.value, err)
		}
		opened.Close(time.Second)
	}
	for _, ratio := range []string{"1.5", "-0.1", "NaN", "ten", "10%"} {
		_, _, err := open(map[string]string{endpoint: "http://c:1", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
			"OTEL_TRACES_SAMPLER_ARG": ratio})
		if err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG is") {
			t.Errorf("ratio %s: %v", ratio, err)
		}
	}
	_, _, err := open(map[string]string{endpoint: "c", "OTEL_TRACES_SAMPLER": "x", "OTEL_EXPORTER_OTLP_TIMEOUT": "y"})
	if err == nil || strings.Count(err.Error(), "OTEL_") < 3 {
		t.Errorf("of three mistakes: %v", err)
	}
}

// With a ratio, a tick and what is linked to it are kept together or not at all. Broken by: a draw for each of them.
func TestLinkedTracesAreSampledTogether(t *testing.T) {
	vars := map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
	sampler, err := env(func(name string) (string, bool) { v, ok := vars[name]; return v, ok }).sampler()
	if err != nil {
		t.Fatal(err)
	}
	out := tracetest.NewInMemoryExporter()
	tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(out), sdk.WithSampler(sampler)))
	const ticks = 400
	for range ticks {
		headers := map[string]string{}
		ctx, tick := tracer.Start(t.Context(), tracing.Begin{Name: "tick"})
		tracing.Inject(ctx, headers)
		tick.End()
		_, run := tracer.Start(t.Context(), tracing.Begin{Name: "run",
			Links: []tracing.Link{tracing.FromHeaders(headers)}})
		run.End()
	}
	spans := out.GetSpans()
	if n := len(spans); n%2 != 0 || n < ticks/2 || n > 3*ticks/2 {
		t.Fatalf("%d spans of %d", n, 2*ticks)
	}
	for i := 0; i < len(spans); i += 2 {
		if spans[i].Name != "tick" || spans[i+1].Name != "run" {
			t.Fatalf("%s is followed by %s", spans[i].Name, spans[i+1].Name)
		}
	}
}

// broken is an exporter whose collector is away, or not.
type broken struct{ err error }

func (b *broken) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return b.err }
func (b *broken) Shutdown(context.Context) error                        { return nil }

// Broken by: a line for each batch of spans; and silence when they are exported again.
func TestACollectorThatIsAwayIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	away := &broken{errors.New("no route to host")}
	s := &steadfast{SpanExporter: away, endpoint: "http://c:4318", log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 {
		if err := s.ExportSpans(t.Context(), make([]sdk.ReadOnlySpan, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "traces are not exported"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
	away.err = nil
	for range 3 {
		_ = s.ExportSpans(t.Context(), nil)
	}
	if n := strings.Count(log.String(), "again"); n != 1 || !strings.Contains(log.String(), "spans_lost=300") {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
}
