package baseline

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const productTable = `CREATE TABLE product AS SELECT i::bigint AS id, 'SKU-' || i AS sku, 'a "name" \ of ' || i AS name, 12.50::numeric(10,2) AS price,
	i AS stock, ARRAY['x', 'y z'] AS tags, timestamptz '2026-01-02 03:04:05.678+00' AS updated_at, i % 2 = 0 AS active, jsonb_build_object('n', i) AS attributes
FROM generate_series(1, 2500) i`

var products = Job{Query: "SELECT id, sku, name, price, stock, tags, updated_at, active, attributes FROM product",
	Prefix: "product:", Column: "id"}

// do runs a task the way its process would.
func do(t *testing.T, task Task, in io.Reader) (Result, error) {
	t.Helper()
	args, err := Args(task)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Main(args, in, &out); err != nil {
		return Result{}, err
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Begin.IsZero() || r.Wall() <= 0 {
		t.Errorf("%s: from %s to %s", task.Do, r.Begin, r.End)
	}
	return r, nil
}

// open is a standard input that does not end while the test goes on.
func open(t *testing.T) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	return r
}

func TestBaselines(t *testing.T) {
	pg := storetest.Postgres(t)
	storetest.Exec(t, pg, productTable)
	u, err := url.Parse(storetest.Redis(t)) // the first database of the server: 0, as baselines use
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: u.Host})
	t.Cleanup(func() { client.Close() })
	for _, name := range []string{"plain", "pipelined"} {
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		r, err := do(t, Task{Do: name, Postgres: pg, Redis: u.Host, Job: products}, open(t))
		if err != nil {
			t.Fatal(err)
		}
		if n := client.DBSize(t.Context()).Val(); r.Keys != 2500 || n != 2500 || r.Bytes < 2500*100 {
			t.Errorf("%s: %+v, %d keys in Redis", name, r, n)
		}
		wantProduct(t, client.Get(t.Context(), "product:2468").Val())
		if ttl := client.PTTL(t.Context(), "product:1").Val(); ttl > TTL || ttl < TTL-time.Minute {
			t.Errorf("%s: TTL %s", name, ttl)
		}
	}
	r, err := do(t, Task{Do: "read", Postgres: pg, Job: products}, open(t))
	if err != nil || r.Keys != 2500 || r.Bytes < 2500*50 {
		t.Errorf("read: %+v, %v", r, err)
	}
	testGet(t, u.Host)
	testProbe(t, Task{Do: "probe", Postgres: pg, Redis: u.Host, Job: products, Keys: 2500})
}

func wantProduct(t *testing.T, text string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	want := map[string]any{
		"id": 2468.0, "sku": "SKU-2468", "name": `a "name" \ of 2468`, "price": 12.5, "stock": 2468.0,
		"tags":       []any{"x", "y z"},
		"updated_at": "2026-01-02T03:04:05.678Z", "active": true, "attributes": map[string]any{"n": 2468.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func testGet(t *testing.T, addr string) {
	file := filepath.Join(t.TempDir(), "gets")
	in, end := io.Pipe()
	begun := time.Now()
	time.AfterFunc(200*time.Millisecond, func() { end.Close() })
	r, err := do(t, Task{Do: "get", Redis: addr, Job: products, Keys: 2500, File: file}, in)
	if err != nil {
		t.Fatal(err)
	}
	gets, err := Gets(file)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(gets)) != r.Keys || r.Keys < 10 {
		t.Errorf("%d samples of %d GETs", len(gets), r.Keys)
	}
	for _, g := range gets {
		if g.Took <= 0 || g.At.Before(begun.Round(0)) || g.At.After(time.Now()) {
			t.Fatalf("a GET at %s took %s", g.At, g.Took)
		}
	}
	// Beyond the last key nothing is there, and a miss is no GET to measure.
	_, err = do(t, Task{Do: "get", Redis: addr, Job: Job{Prefix: "none:"}, Keys: 1, File: file}, open(t))
	if err == nil || !strings.Contains(err.Error(), "GET none:1: the key is not there") {
		t.Errorf("a missing key: %v", err)
	}
}

func TestMainRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "b"}, {"no JSON"}, {`{"do": "nothing"}`}} {
		if err := Main(args, open(t), io.Discard); err == nil {
			t.Errorf("%q is done", args)
		}
	}
}

// What a reader saves does not depend on how many pieces it is in.
func TestSamples(t *testing.T) {
	var s samples
	const n = piece + 3
	for i := range n {
		s.add(time.Unix(0, int64(i)), time.Duration(i)*2)
	}
	file := filepath.Join(t.TempDir(), "gets")
	if err := s.save(file); err != nil {
		t.Fatal(err)
	}
	gets, err := Gets(file)
	if err != nil || len(gets) != n {
		t.Fatalf("%d samples, %v", len(gets), err)
	}
	for i, g := range gets {
		if g.At.UnixNano() != int64(i) || g.Took != time.Duration(i)*2 {
			t.Fatalf("sample %d is %+v", i, g)
		}
	}
}

func TestScript(t *testing.T) {
	j := Job{Query: "SELECT 1 AS \"a\"\"b\"", Prefix: "o'clock:", Column: `a"b`}
	for _, want := range []string{`'o''clock:' || q."a""b" AS k`, "OFFSET 0", "PX\\r\\n$7\\r\\n3600000\\r'",
		"FETCH_COUNT"} {
		if got := Script(j, "/tmp/it's"); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := Script(j, "/tmp/it's"); !strings.Contains(got, `\o '/tmp/it''s'`) {
		t.Errorf("the file is not quoted:\n%s", got)
	}
	if got := Script(j, ""); strings.Contains(got, "pg_read_file") {
		t.Errorf("a file where none is wanted:\n%s", got)
	}
}
