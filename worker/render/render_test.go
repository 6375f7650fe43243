package render

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// newJob is a job as the spec's defaults make it.
func newJob(name string, value jobs.ValueKind, key, query string) *jobs.Job {
	template, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		panic(err)
	}
	return &jobs.Job{
		Name: name, Query: query, Key: template, Value: value, TTL: 10 * time.Minute, Jitter: 0.1,
		MaxValueBytes: 16 << 20,
		Type:          jobs.TypeString, Format: jobs.FormatJSON, Compress: jobs.CompressNone, CompressAbove: 1 << 10,
	}
}

// What a row costs from the wire's bytes to an entry of a batch. The aim is that
// nothing is allocated.
func BenchmarkRender(b *testing.B) {
	columns := []store.Column{{Name: "id", OID: 20, Type: "bigint"}, {Name: "name", OID: 25, Type: "text"},
		{Name: "at", OID: 1184, Type: "timestamptz"}, {Name: "ok", OID: 16, Type: "boolean"}}
	row := store.Row{{0, 0, 0, 0, 0, 0, 0, 42}, []byte(`a "name" of some length`), {0, 2, 170, 160, 0, 0, 0, 0}, {1}}
	for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
		b.Run(string(kind), func(b *testing.B) {
			r, err := New(newJob("j", kind, "product:{id}", ""), &store.Reading{Columns: columns, Keys: []int{0}},
				func(batch *store.Batch) (*store.Batch, error) {
					if batch == nil {
						return &store.Batch{}, nil
					}
					batch.Reset()
					return batch, nil
				})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if kind == jobs.ValueRow {
					binary.BigEndian.PutUint64(row[0], binary.BigEndian.Uint64(row[0])+1)
				}
				if err := r.add(row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same as a test, so that it is noticed: rows of one batch are made again
// and again in its memory. Broken by: a closure, a boxed value or a key's string
// for each row.
func TestRenderingAllocatesNothing(t *testing.T) {
	r := rendered(t, newJob("j", jobs.ValueRow, "p:{k}", ""), func(*store.Batch) {})
	row := store.Row{[]byte("key0"), []byte("value")}
	for range 3 * BatchKeys { // until the batch has its size
		row[0][3]++
		if err := r.add(row); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, func() {
		row[0][2]++
		if err := r.add(row); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

// Broken by: a TTL that is prolonged or cut by more than the jitter.
func TestTTLOfExtremes(t *testing.T) {
	for _, jitter := range []float64{0, 0.1, 1} {
		j := newJob("j", jobs.ValueRow, "p:{k}", "")
		j.TTL, j.Jitter = time.Second, jitter
		r := rendered(t, j, func(*store.Batch) {})
		for range 10_000 {
			if got := TTL(r.job); got > j.TTL || got < j.TTL-time.Duration(float64(j.TTL)*jitter) {
				t.Fatalf("jitter %v: %s", jitter, got)
			}
		}
	}
}

// rendered returns a renderer of rows of two text columns, k and v, whose batches
// sent takes.
func rendered(t testing.TB, j *jobs.Job, sent func(*store.Batch)) *Renderer {
	t.Helper()
	reading := &store.Reading{Columns: []store.Column{{Name: "k", OID: 25, Type: "text"},
		{Name: "v", OID: 25, Type: "text"}}}
	for range j.Key.Columns() {
		reading.Keys = append(reading.Keys, 0)
	}
	r, err := New(j, reading, func(b *store.Batch) (*store.Batch, error) {
		if b == nil {
			return &store.Batch{}, nil
		}
		sent(b)
		b.Reset()
		return b, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A group that outgrows the limit must not be collected only to be thrown away.
// Broken by: one that is; a size that is not counted on.
func TestGroupThatOutgrowsTheLimitTakesNoMemory(t *testing.T) {
	j := newJob("j", jobs.ValueRows, "c:{k}", "")
	j.MaxValueBytes = 64 << 10
	keys := 0
	r := rendered(t, j, func(b *store.Batch) { keys += b.Len() })
	wide := []byte(strings.Repeat("x", 1000))
	most := 0
	err := r.RenderAll(func(yield func(store.Row, error) bool) {
		for i := range 40_002 { // 40 MB for one key between two small ones
			key := []byte("big")
			if i == 0 {
				key = []byte("a")
			} else if i == 40_001 {
				key = []byte("z")
			}
			if !yield(store.Row{key, wide}, nil) {
				return
			}
			most = max(most, cap(r.batch.Buf))
		}
	}, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if most > 256<<10 {
		t.Errorf("the buffer grew to %d bytes, with a limit of %d", most, j.MaxValueBytes)
	}
	// {"k":"big","v":"x..."} is 1018 bytes; so many, as many commas less one, two brackets
	want := fmt.Sprintf("key c:big: a value of %d bytes is over", 40_000*1018+39_999+2)
	if keys != 2 || r.Oversized != 1 || !strings.HasPrefix(r.Warning, want) {
		t.Errorf("%d keys, %d oversized, %s\nwant %s", keys, r.Oversized, r.Warning, want)
	}
}

// Broken by: a key of ours that a job could overwrite, whatever its template's
// own text is; a refused row that stops the run.
func TestReservedKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ template, value, want string }{
		{"{k}", "#n", "key #n begins with #, which is reserved: give the key template a prefix"},
		{"{k}:x", "#", "key #:x begins with #, which is reserved: give the key template a prefix"},
		{"{k}", "stoker:canary", "key stoker:canary begins with stoker:, which is reserved: give the key template " +
			"a prefix"},
		{"stok{k}", "er:epoch:a", "key stoker:epoch:a begins with stoker:, which is reserved: give the key " +
			"template a prefix"},
		{"{k}:queues", "asynq", "key asynq:queues begins with asynq:, which is reserved: give the key template a " +
			"prefix"},
		{"{k}", "", "the row's key is empty: give the key template a prefix"},
		{"{k}", "stoker", ""},
		{"{k}", "Asynq:x", ""},
		{"x{k}", "#", ""},
		{"{k}", "a#stoker:", ""},
	} {
		for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
			keys := 0
			r := rendered(t, newJob("j", kind, tc.template, ""), func(b *store.Batch) { keys += b.Len() })
			err := r.RenderAll(func(yield func(store.Row, error) bool) {
				_ = yield(store.Row{[]byte(tc.value), nil}, nil) && yield(store.Row{[]byte("good"), nil}, nil)
			}, func(int64) {})
			got := strings.TrimSuffix(strings.TrimPrefix(r.Warning, "job j: "), "; it was skipped")
			if err != nil || got != tc.want || (r.BadKeys == 1) != (tc.want != "") || keys != int(2-r.BadKeys) {
				t.Errorf("%s of %q, %s: %d keys, %d bad, %q, %v, want %q", tc.template, tc.value, kind, keys, r.BadKeys,
					r.Warning, err, tc.want)
			}
		}
	}
}
