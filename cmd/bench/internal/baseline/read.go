package baseline

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// read is Postgres alone: the query's rows in the binary format, thrown away.
func read(ctx context.Context, t Task) (Result, error) {
	r := Result{Begin: time.Now()}
	conn, err := pgconn.Connect(ctx, t.Postgres)
	if err != nil {
		return r, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows := conn.ExecParams(ctx, t.Job.Query, nil, nil, nil, []int16{pgtype.BinaryFormatCode})
	for rows.NextRow() {
		r.Keys++
		for _, v := range rows.Values() {
			r.Bytes += int64(len(v))
		}
	}
	if _, err := rows.Close(); err != nil {
		return r, err
	}
	return finish(r, conn.PID())
}
