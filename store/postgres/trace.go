package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tracer is told what a Source waits for; otelpgx has one.
type Tracer interface {
	pgx.QueryTracer
	pgx.ConnectTracer
	pgxpool.AcquireTracer
}

// Option changes what Open makes.
type Option func(*Source, *pgxpool.Config)

// Traced has a tracer told of connections that are waited for and opened, and of the statements that read jobs' rows.
func Traced(t Tracer) Option {
	return func(s *Source, pc *pgxpool.Config) { s.tracer, pc.ConnConfig.Tracer = t, t }
}

// traced reads with the statement of a job ("": none is loaded), and tells the tracer, as pgx itself would above the
// level of pgconn.
func (s *Source) traced(ctx context.Context, c *pgx.Conn, sql string, read func(context.Context) error) error {
	if s.tracer == nil || sql == "" {
		return read(ctx)
	}
	ctx = s.tracer.TraceQueryStart(ctx, c, pgx.TraceQueryStartData{SQL: sql})
	err := read(ctx)
	// What the database says alone: another error is of what was done with the rows, and may have their text.
	var failed error
	if pe, is := errors.AsType[*pgconn.PgError](err); is {
		failed = pe
	}
	s.tracer.TraceQueryEnd(ctx, c, pgx.TraceQueryEndData{Err: failed})
	return err
}
