// Command example is an API node that reads what Stoker keeps warm.
//
//	DATABASE_URL=... REDIS_URL=... go run ./readers/go/example
//	curl -i localhost:8000/products/42
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	reader "github.com/stokerhq/stoker/readers/go"
)

// productSQL is the query of the job product in stoker.yaml, for one key. Keep the two alike: a client must not be able
// to tell whether it was answered by Redis or Postgres.
const productSQL = `
SELECT row_to_json(q)::text
FROM (SELECT id, sku, name, price, stock FROM product WHERE active) q
WHERE q.id = $1`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, "127.0.0.1:8000"); err != nil {
		slog.Error("the example ends", "err", err)
		os.Exit(1)
	}
}

// serve answers until ctx ends.
func serve(ctx context.Context, address string) error {
	cfg, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	cfg.MaxConns = 10                                // what Postgres sees of this process, however many keys are cold
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC" // row_to_json prints timestamps as Stoker does
	postgres, err := pgxpool.NewWithConfig(ctx, cfg) // it connects when it is asked
	if err != nil {
		return err
	}
	defer postgres.Close()
	backend, err := reader.Open(os.Getenv("REDIS_URL"), reader.RedisConfig{})
	if err != nil {
		return err
	}
	stokerURL := os.Getenv("STOKER_URL")
	if stokerURL == "" {
		stokerURL = "http://127.0.0.1:8080"
	}
	r := reader.New(reader.Config{Backend: backend, StaleFor: 30 * time.Second,
		Doorbell: reader.NewDoorbell(stokerURL, os.Getenv("STOKER_TOKEN"), 0)})
	defer r.Close()
	// Freshness is the job's schedule. Where Stoker follows the database, leave it out: then clients ask each time, and
	// get 304 as long as nothing has changed.
	product := &reader.Job{Name: "product", Key: "product:{id}", Freshness: 5 * time.Minute,
		Load: func(ctx context.Context, key reader.Key) ([]byte, error) { return loadProduct(ctx, postgres, key) }}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /products/{id}", func(w http.ResponseWriter, req *http.Request) {
		id, err := strconv.ParseInt(req.PathValue("id"), 10, 64)
		if err != nil {
			http.Error(w, "a product's id is a number", http.StatusUnprocessableEntity)
			return
		}
		r.Serve(w, req, product, reader.Key{"id": strconv.FormatInt(id, 10)}) // 007 is 7
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(drain)
	})()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loadProduct is what is asked on a miss, once a key in this process. It writes nothing to Redis.
func loadProduct(ctx context.Context, postgres *pgxpool.Pool, key reader.Key) ([]byte, error) {
	id, err := strconv.ParseInt(key["id"], 10, 64)
	if err != nil {
		return nil, err
	}
	var text string
	err = postgres.QueryRow(ctx, productSQL, id).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return []byte(text), err
}
