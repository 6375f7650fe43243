package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
)

// add appends an entry as the encoder does: key, then value, into Buf.
func add(b *store.Batch, key, value string, ttl time.Duration) {
	keyAt := len(b.Buf)
	b.Buf = append(b.Buf, key...)
	valueAt := len(b.Buf)
	b.Buf = append(b.Buf, value...)
	b.Add(keyAt, valueAt, ttl)
}

func entries(b *store.Batch) []store.Entry {
	var all []store.Entry
	for i := range b.Len() {
		all = append(all, b.Entry(i))
	}
	return all
}

func TestBatch(t *testing.T) {
	var b store.Batch
	if b.Len() != 0 || b.Size() != 0 {
		t.Errorf("a zero batch has %d entries, %d bytes", b.Len(), b.Size())
	}
	for round := range 3 { // the second and third in memory that was used before
		want := []store.Entry{
			{Key: []byte("a"), Value: []byte("1"), TTL: time.Second},
			{Key: []byte("empty"), Value: []byte{}, TTL: time.Minute},
			{Key: []byte(""), Value: []byte("keyless"), TTL: 0},
			{Key: []byte("bin\x00\xff"), Value: []byte("\x00\r\n$5\r\n"), TTL: time.Duration(round)},
		}
		size := 0
		for _, e := range want {
			add(&b, string(e.Key), string(e.Value), e.TTL)
			size += e.Size()
		}
		if diff := cmp.Diff(want, entries(&b)); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
		if b.Size() != size {
			t.Errorf("size %d, want %d", b.Size(), size)
		}
		b.Reset()
		if b.Len() != 0 || b.Size() != 0 {
			t.Errorf("after Reset: %d entries, %d bytes", b.Len(), b.Size())
		}
	}
}

// What is being appended counts, so that a batch is cut before it is too big.
func TestBatchSizeCountsTheUnfinished(t *testing.T) {
	var b store.Batch
	add(&b, "k", "v", 0)
	b.Buf = append(b.Buf, "half"...)
	if b.Size() != 6 || b.Len() != 1 {
		t.Errorf("%d bytes, %d entries; want 6 and 1", b.Size(), b.Len())
	}
}

// Who appends to a slice of an entry must not write into the next one.
func TestBatchEntriesAreApart(t *testing.T) {
	var b store.Batch
	add(&b, "k1", "v1", 0)
	add(&b, "k2", "v2", 0)
	b.Buf = append(b.Buf, "rest"...)
	for i := range b.Len() {
		e := b.Entry(i)
		_ = append(e.Key, "XXXX"...)
		_ = append(e.Value, "XXXX"...)
	}
	if want := "k1v1k2v2rest"; string(b.Buf) != want {
		t.Errorf("buffer is %q, want %q", b.Buf, want)
	}
}

func TestBatchReset(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		keeps bool
	}{
		{"usual", 64 << 10, true},
		{"huge", 4 << 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := store.Batch{Buf: make([]byte, 0, tt.bytes)}
			add(&b, "k", strings.Repeat("v", tt.bytes-1), 0)
			b.Reset()
			want := 0
			if tt.keeps {
				want = tt.bytes
			}
			if cap(b.Buf) != want {
				t.Errorf("%d bytes of memory are kept, want %d", cap(b.Buf), want)
			}
		})
	}
}

// A batch that is used again costs no memory.
func TestBatchDoesNotAllocate(t *testing.T) {
	var b store.Batch
	fill := func() {
		for range 100 {
			keyAt := len(b.Buf)
			b.Buf = append(b.Buf, "product:123456"...)
			valueAt := len(b.Buf)
			b.Buf = append(b.Buf, `{"id":123456,"name":"x"}`...)
			b.Add(keyAt, valueAt, time.Minute)
		}
		for i := range b.Len() {
			if len(b.Entry(i).Key) != 14 {
				t.Error("wrong key")
			}
		}
		b.Reset()
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func BenchmarkBatch(b *testing.B) {
	key, value := []byte("product:123456"), []byte(strings.Repeat("v", 300))
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			var batch store.Batch
			b.ReportAllocs()
			b.SetBytes(int64(n * (len(key) + len(value))))
			for b.Loop() {
				for range n {
					keyAt := len(batch.Buf)
					batch.Buf = append(batch.Buf, key...)
					valueAt := len(batch.Buf)
					batch.Buf = append(batch.Buf, value...)
					batch.Add(keyAt, valueAt, time.Minute)
				}
				for i := range batch.Len() {
					batch.Entry(i)
				}
				batch.Reset()
			}
		})
	}
}
