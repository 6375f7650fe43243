package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
)

// Config is what Open needs.
type Config struct {
	Lookup  func(name string) (value string, set bool) // reads the environment
	Version string                                     // of this build
	Log     *slog.Logger
}

// Tracing makes and sends the traces of one process. The nil Tracing makes none.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   *tracing.Tracer
	log      *slog.Logger
}

// Open sets tracing up as the environment says; it returns nil if no traces are asked for. An *EnvError, or several
// joined, says which variable is wrong. Nothing is connected yet.
func Open(ctx context.Context, c Config) (*Tracing, error) {
	e := env(c.Lookup)
	if on, err := e.enabled(); err != nil || !on {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	sampler, err := e.sampler()
	if err != nil {
		return nil, err
	}
	about, err := describe(ctx, c.Version)
	if err != nil {
		return nil, &EnvError{"OTEL_RESOURCE_ATTRIBUTES", "was not understood: " + err.Error()}
	}
	// What the SDK says of itself: nothing that an operator can act upon.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Log.Debug("opentelemetry", jobs.LogErr, err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up the export of traces: %w", err)
	}
	_, endpoint := e.signal("ENDPOINT")
	endpoint = cmp.Or(endpoint, "http://localhost:4318")
	c.Log.Info("traces are exported", "endpoint", endpoint, "sampler", sampler.Description())
	return newTracing(sdk.NewTracerProvider(sdk.WithSampler(sampler), sdk.WithResource(about),
		sdk.WithBatcher(&steadfast{SpanExporter: exporter, endpoint: endpoint, log: c.Log})), c.Log), nil
}

func newTracing(p *sdk.TracerProvider, log *slog.Logger) *Tracing {
	return &Tracing{provider: p, tracer: tracing.New(p), log: log}
}

// describe is what every span says of this process. The environment has the last word.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attribute.String("service.name", "stoker"),
			attribute.String("service.version", version)),
		resource.WithFromEnv())
}

// Tracer is what begins spans; nil if no traces are made.
func (t *Tracing) Tracer() *tracing.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// Postgres is a tracer of the pool: what waits for a connection, and connects, within a span, and the queries that
// read a job's rows. Neither their text nor their parameters are told.
func (t *Tracing) Postgres() *otelpgx.Tracer {
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider), otelpgx.WithDisableSQLStatementInAttributes())
}

// Redis makes a span of each command of a client, without its arguments. It is for clients that enqueue: a client that
// writes values would make millions.
func (t *Tracing) Redis(c redis.UniversalClient) error {
	return redisotel.InstrumentTracing(c, redisotel.WithTracerProvider(t.provider), redisotel.WithDBStatement(false),
		redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true))
}

// Close sends what is left, for as long as limit at most.
func (t *Tracing) Close(limit time.Duration) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Debug("the last spans were not exported", jobs.LogErr, err)
	}
}

// sorted puts errors in the order of their text.
func sorted(errs []error) []error {
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return slices.CompactFunc(errs, func(a, b error) bool { return errors.Is(a, b) || a.Error() == b.Error() })
}
