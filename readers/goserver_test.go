package readers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	reader "github.com/stokerhq/stoker/readers/go"
)

// goCase is the reader of one case, and its application's database: a map.
type goCase struct {
	RedisURL  string            `json:"redis_url"`
	Redis     map[string]string `json:"redis"`
	Rows      map[string]string `json:"rows"`
	Fails     bool              `json:"load_fails"`
	Delay     int               `json:"load_ms"`
	NoLoad    bool              `json:"no_load"`
	Memory    bool              `json:"memory"`
	Client    string            `json:"client"`
	Freshness *int              `json:"freshness"`
	Stoker    string            `json:"stoker"`
	Token     string            `json:"token"`
	Wait      int               `json:"wait_ms"`
	Stale     int               `json:"stale_ms"`
	Pause     int               `json:"pause_ms"`
	Failures  int               `json:"failures"`
	Loads     int               `json:"loads"`
	LoadLimit int               `json:"load_timeout_ms"`
	Pool      int               `json:"pool"`
	PoolWait  int               `json:"pool_wait_ms"`
	Timeout   int               `json:"timeout_ms"`

	mu               sync.Mutex
	loads            int
	given            *redis.Client
	reader           *reader.Reader
	products, things *reader.Job
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// open makes the reader.
func (c *goCase) open() error {
	freshness := 300 * time.Second
	if c.Freshness != nil {
		freshness = time.Duration(*c.Freshness) * time.Second
	}
	c.products = &reader.Job{Name: "product", Key: "product:{id}", Freshness: freshness}
	c.things = &reader.Job{Name: "thing", Key: "{{thing}}:{name}:{size}", Freshness: freshness}
	if !c.NoLoad {
		c.products.Load = func(ctx context.Context, key reader.Key) ([]byte, error) { return c.load(ctx, key["id"]) }
		c.things.Load = func(ctx context.Context, key reader.Key) ([]byte, error) {
			return c.load(ctx, key["name"]+":"+key["size"])
		}
	}
	cfg := reader.Config{StaleFor: ms(c.Stale), BreakerPause: ms(c.Pause), BreakerLimit: c.Failures, Loads: c.Loads,
		LoadTimeout: ms(c.LoadLimit), Logger: slog.New(slog.DiscardHandler)}
	if c.Stoker != "" {
		cfg.Doorbell = reader.NewDoorbell(c.Stoker, c.Token, ms(c.Wait))
	}
	switch {
	case c.Memory:
		memory := make(reader.Memory)
		for key, value := range c.Redis {
			memory[key] = []byte(value)
		}
		cfg.Backend = memory
	case c.Client == "given":
		opt, err := redis.ParseURL(c.RedisURL)
		if err != nil {
			return err
		}
		c.given = redis.NewClient(opt)
		cfg.Backend = reader.NewRedis(c.given, ms(c.Timeout))
	default:
		own, err := reader.Open(c.RedisURL,
			reader.RedisConfig{Connections: c.Pool, PoolWait: ms(c.PoolWait), Timeout: ms(c.Timeout)})
		if err != nil {
			return err
		}
		cfg.Backend = own
	}
	c.reader = reader.New(cfg)
	return nil
}

func (c *goCase) close() error {
	if c.reader == nil {
		return nil
	}
	err := c.reader.Close()
	if c.given != nil {
		err = errors.Join(err, c.given.Close())
	}
	return err
}

func (c *goCase) load(ctx context.Context, name string) ([]byte, error) {
	c.mu.Lock()
	c.loads++
	value, found := c.Rows[name]
	fails, delay := c.Fails, ms(c.Delay)
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case fails:
		return nil, errors.New("the database is down")
	case !found:
		return nil, nil
	}
	return []byte(value), nil
}

// runGo serves the cases with net/http, in this process.
func runGo(t *testing.T, _ string) map[string]string {
	t.Helper()
	c := &goCase{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /-/case", func(w http.ResponseWriter, r *http.Request) {
		if err := c.close(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		c = &goCase{}
		err := json.NewDecoder(r.Body).Decode(c)
		if err == nil && c.RedisURL != "" {
			err = c.open()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /-/rows", func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := json.NewDecoder(r.Body).Decode(c); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /-/loads", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		json.NewEncoder(w).Encode(c.loads)
	})
	mux.HandleFunc("GET /products/{id}", func(w http.ResponseWriter, r *http.Request) {
		c.reader.Serve(w, r, c.products, reader.Key{"id": r.PathValue("id")})
	})
	mux.HandleFunc("GET /things/{name}/{size}", func(w http.ResponseWriter, r *http.Request) {
		c.reader.Serve(w, r, c.things, reader.Key{"name": r.PathValue("name"), "size": r.PathValue("size")})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return map[string]string{"net-http": server.URL}
}
