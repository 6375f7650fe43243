package baseline

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/redis/go-redis/v9"
)

// pipeline is how many SETs the pipelined loop sends at once.
const pipeline = 1000

// product is a row of the benchmark's products, as a program would hold it.
type product struct {
	ID         int64           `json:"id"`
	SKU        string          `json:"sku"`
	Name       string          `json:"name"`
	Price      pgtype.Numeric  `json:"price"`
	Stock      int32           `json:"stock"`
	Tags       []string        `json:"tags"`
	UpdatedAt  time.Time       `json:"updated_at"`
	Active     bool            `json:"active"`
	Attributes json.RawMessage `json:"attributes"`
}

// write is the loop that one writes first: a query, and for each row its JSON
// and a SET, every so many of them in one pipeline.
func write(ctx context.Context, t Task, every int) (Result, error) {
	r := Result{Begin: time.Now()}
	conn, err := pgx.Connect(ctx, t.Postgres)
	if err != nil {
		return r, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	client := redis.NewClient(&redis.Options{Addr: t.Redis})
	defer client.Close()
	rows, err := conn.Query(ctx, t.Job.Query)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	w := writer{client: client, pipe: client.Pipeline(), every: every}
	for rows.Next() {
		var p product
		if err := rows.Scan(&p.ID, &p.SKU, &p.Name, &p.Price, &p.Stock, &p.Tags, &p.UpdatedAt, &p.Active,
			&p.Attributes); err != nil {
			return r, err
		}
		value, err := json.Marshal(p)
		if err != nil {
			return r, err
		}
		if err := w.set(ctx, t.Job.Prefix+strconv.FormatInt(p.ID, 10), value); err != nil {
			return r, err
		}
		r.Keys++
		r.Bytes += int64(len(value))
	}
	if err := rows.Err(); err != nil {
		return r, err
	}
	if err := w.flush(ctx); err != nil {
		return r, err
	}
	return finish(r, conn.PgConn().PID())
}

// writer sends SETs one by one, or so many at once.
type writer struct {
	client *redis.Client
	pipe   redis.Pipeliner
	every  int
}

func (w *writer) set(ctx context.Context, key string, value []byte) error {
	if w.every == 1 {
		return w.client.Set(ctx, key, value, TTL).Err()
	}
	w.pipe.Set(ctx, key, value, TTL)
	if w.pipe.Len() < w.every {
		return nil
	}
	return w.flush(ctx)
}

func (w *writer) flush(ctx context.Context) error {
	if w.pipe.Len() == 0 {
		return nil
	}
	_, err := w.pipe.Exec(ctx)
	return err
}
