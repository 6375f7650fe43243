package readers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/worker"
)

// librarySpec keeps warm what the libraries' doubles in python/libraries.py read, each under the library's own keys.
const librarySpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - name: sdk
    query: SELECT id, name, price FROM product
    key: "redis:fastapi:cache:{{products}}:products:{id}"
    format: fastapi-redis
  - name: search
    query: SELECT '1' AS a, replace('x:y', ':', '%3A') AS q, id, name FROM product ORDER BY a, q, id
    key: "redis:fastapi:cache:search:a={a}&q={q}"
    value: rows
    format: fastapi-redis
    omit: [a, q]
  - name: product
    query: SELECT id, name, price FROM product
    key: "product:{id}"
  - name: hashed
    query: |
      SELECT md5('app.main:read_product:():{''product_id'': ' || python_repr(id) ||
        ', ''shop'': ' || python_repr(shop) || '}') AS cache_key, id, name, price
      FROM product
    key: "fastapi-cache:v1:{cache_key}"
    omit: [cache_key]
  - name: stock
    query: SELECT id, stock FROM product
    key: "stock:{id}"
    value: scalar
    format: text
  - name: aiocache
    query: SELECT id, name, price FROM product
    key: "api:app.mainload()[('product_id', {id})]"
  - name: category
    query: SELECT id, name, price, tags, NULL::text AS nothing FROM product
    key: "cache:category:{id}"
    type: hash
`

var librarySQL = []string{
	"CREATE TABLE product (id int PRIMARY KEY, name text, price numeric(10,2), stock int, shop text, tags text[])",
	`INSERT INTO product VALUES (42, E'Zoë "the \\ cat" ☃', 1.50, 17, 'it''s', '{a,b}'), (43, 'n', 2, 0, 'x', NULL)`,
}

// kept are a database, and a Redis in which all of a spec's jobs were run.
type kept struct {
	pg, rd string
	redis  *redis.Client
}

func keepWarm(t *testing.T, text string) kept {
	t.Helper()
	k := kept{pg: storetest.Postgres(t), rd: storetest.Redis(t)}
	functions, err := os.ReadFile("python/python_repr.sql")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, k.pg, append([]string{string(functions)}, librarySQL...)...)
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := specfile.Load(file, func(name string) (string, bool) {
		value, ok := map[string]string{"PG": k.pg, "RD": k.rd}[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	source, err := postgres.Open(spec.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	client, err := cache.Open(spec.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	k.redis = client.(*redis.Client)
	w := worker.New(worker.Config{Spec: spec, Source: source, Cache: cache.New(client, time.Minute),
		Ledger: ledger.New(client), Metrics: worker.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler)})
	for _, job := range spec.Jobs {
		if _, err := w.Run(t.Context(), "id", jobs.Run{Job: job.Name, Cause: jobs.CauseCommand}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// holds is every key with its value and whether it expires, but for Stoker's own.
func (k kept) holds(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	keys := k.redis.Keys(t.Context(), "*").Val()
	for _, key := range keys {
		if strings.HasPrefix(key, "stoker:") {
			continue
		}
		value, err := k.redis.Get(t.Context(), key).Result()
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			value = fmt.Sprint(k.redis.HGetAll(t.Context(), key).Val())
		} else if err != nil {
			t.Fatal(err)
		}
		out[key] = fmt.Sprint(value, k.redis.TTL(t.Context(), key).Val() > 0)
	}
	return out
}

// libraryAnswer is what one request came to.
type libraryAnswer struct {
	Path, Body, ETag, Control string
	Status, Again             int // Again: the status of the same request with the ETag
}

type libraryResults struct {
	Answers                 []libraryAnswer
	Vectors, Built, Cleared []string
}

// readLibraries sends requests to applications on the libraries' doubles.
func readLibraries(t *testing.T, k kept, stoker string, stock bool, paths ...string) (out libraryResults) {
	t.Helper()
	cmd := pythonRunner(t, "libraries.py")
	if stock {
		cmd.Env = append(cmd.Env, "STOKER_STOCK=1")
	}
	given, err := json.Marshal(map[string]any{"redis_url": k.rd, "stoker_url": stoker, "token": doubleToken,
		"paths": append([]string{}, paths...)})
	if err != nil {
		t.Fatal(err)
	}
	var said, complained bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(given), &said, &complained
	if err := cmd.Run(); err != nil || complaints(complained.String()) != "" {
		t.Fatalf("libraries.py: %v\n%s", err, complained.String())
	}
	if err := json.Unmarshal(said.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	return out
}

var libraryPaths = []string{"/products/42", "/search?q=x:y&a=1", "/built/42", "/hashed/42", "/cashews/42", "/stock/42",
	"/aiocache/42"}

// The first request of each library is a hit, for keys that its own rules make, and none of them writes. Clients are
// told the job's freshness and not the TTL, and an ETag that is the same in another process. Broken by: a key or a
// value that a library reads otherwise, and by TestStockLibrariesWrite's back ends.
func TestLibrariesHitWarmKeys(t *testing.T) {
	t.Parallel()
	k := keepWarm(t, librarySpec)
	var asked []string
	stoker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Header.Get("Authorization")+" "+r.Method+" "+r.URL.Path+" "+string(body))
		io.WriteString(w, "{}")
	}))
	defer stoker.Close()
	before := k.holds(t)
	const row = `{"id":42,"name":"Zoë \"the \\ cat\" ☃","price":1.50}`
	parsed := strings.Replace(row, "1.50", "1.5", 1)
	got := readLibraries(t, k, stoker.URL, false,
		append(libraryPaths, "/products/7", "/built/7", "/stock/7", "/aiocache/7")...)
	want := []libraryAnswer{
		{Path: "/products/42", Body: row, Control: "max-age=5", Status: 200, Again: 304},
		{Path: "/search?q=x:y&a=1", Body: `[{"id":42,"name":"Zoë \"the \\ cat\" ☃"},{"id":43,"name":"n"}]`,
			Control: "max-age=5", Status: 200, Again: 304},
		{Path: "/built/42", Body: parsed, Control: "max-age=3", Status: 200, Again: 304},
		{Path: "/hashed/42", Body: parsed, Control: "max-age=3", Status: 200, Again: 304},
		{Path: "/cashews/42", Body: row, Status: 200},
		{Path: "/stock/42", Body: "17", Status: 200},
		{Path: "/aiocache/42", Body: parsed, Status: 200},
		{Path: "/products/7", Body: `{"loaded":7}`, Status: 200}, // a miss
		{Path: "/built/7", Body: `{"loaded":7}`, Control: "max-age=5", Status: 200},
		{Path: "/stock/7", Body: "0", Status: 200},
		{Path: "/aiocache/7", Body: `{"loaded":7}`, Status: 200},
	}
	tags := make([]string, len(got.Answers))
	for i := range got.Answers {
		tags[i], got.Answers[i].ETag = got.Answers[i].ETag, ""
	}
	if d := cmp.Diff(want, got.Answers); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, k.holds(t)); d != "" {
		t.Errorf("the libraries have written (-before +after):\n%s", d)
	}
	for i, a := range readLibraries(t, k, stoker.URL, false, libraryPaths...).Answers {
		if a.ETag != tags[i] {
			t.Errorf("%s: ETag %s, and %s in another process", a.Path, tags[i], a.ETag)
		}
	}
	built := []string{"1", "true", "2", "0.5", "1.50", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "2024-01-02", "s",
		"dark-blue", "2024-01-02T03:04:05+00:00", "a:b"}
	for i, text := range built {
		built[i] = "p:{x}:s:" + text + ":10"
	}
	built = append(built, "TypeError", "KeyError", "{'a': '1', 'b': 'b'}", "None", "3")
	if d := cmp.Diff(built, got.Built); d != "" {
		t.Errorf("stoker_key (-want +got):\n%s", d)
	}
	post := "Bearer " + doubleToken + " POST /api/v1/jobs/"
	wantAsked := []string{post + `product/invalidate {"keys":[{"id":"42"}]}`, post + `stock/invalidate {"all":true}`,
		post + `product/invalidate {"all":true}`, post + `stock/invalidate {"all":true}`}
	for i := range asked {
		asked[i] = strings.ReplaceAll(asked[i], `: `, `:`) // httpx before 0.28 has blanks
	}
	if d := cmp.Diff([]string{"1", "1", "2", "KeyError", "KeyError"}, got.Cleared); d != "" {
		t.Errorf("clear (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wantAsked, asked[:min(len(asked), len(wantAsked))]); d != "" {
		t.Errorf("clear has asked Stoker (-want +got):\n%s", d)
	}
}

// As they come, the libraries write on a miss, which is what the test above would find. This is its broken variant.
func TestStockLibrariesWrite(t *testing.T) {
	t.Parallel()
	k := keepWarm(t, librarySpec)
	before := k.holds(t)
	readLibraries(t, k, "http://127.0.0.1:1", true, "/products/7", "/built/7", "/stock/7", "/aiocache/7")
	after := k.holds(t)
	maps.DeleteFunc(after, func(key, value string) bool { return before[key] == value })
	want := map[string]string{
		"redis:fastapi:cache:{products}:products:7": "", "product:7": "", "stock:7": "",
		"api:app.mainload()[('product_id', 7)]": "",
	}
	for key := range after {
		after[key] = ""
	}
	if d := cmp.Diff(want, after); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
}

// The keys that fastapi-cache2 makes by default of 32 shapes of arguments: Python's repr and Postgres' expression make
// what is written down. Broken by: a quote, a type or an order that the two write differently.
func TestDefaultKeysOfArguments(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("python/cache_keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Kwargs, SQL, Key string }
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 30 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	k := keepWarm(t, librarySpec)
	got := readLibraries(t, k, "http://127.0.0.1:1", true).Vectors
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, k.pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for i, c := range cases {
		if got[i] != c.Key {
			t.Errorf("%s: Python makes %s, want %s", c.Name, got[i], c.Key)
		}
		var key, kwargs string
		err := conn.QueryRow(ctx,
			"SELECT 'fastapi-cache:v1:' || md5('app.main:read_product:():' || "+c.SQL+"), "+c.SQL).Scan(&key, &kwargs)
		if err != nil || key != c.Key {
			t.Errorf("%s: Postgres makes %s of %s, want %s of %s: %v", c.Name, key, kwargs, c.Key, c.Kwargs, err)
		}
	}
}
