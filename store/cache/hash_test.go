package cache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

var hashJob = &jobs.Job{Name: "row", Type: jobs.TypeHash, TTL: time.Hour}

// columns is a row as the encoder packs it for a hash: a msgpack array of names and
// texts.
func columns(texts ...string) string {
	b := []byte{0xdc, byte(len(texts) >> 8), byte(len(texts))} // array 16
	for _, s := range texts {
		b = append(b, 0xda, byte(len(s)>>8), byte(len(s))) // str 16
		b = append(b, s...)
	}
	return string(b)
}

// waysOf claim a run and a refresh of a job.
func waysOf(job *jobs.Job) map[string]func(*rig, uint64) *cache.Claim {
	return map[string]func(*rig, uint64) *cache.Claim{
		"run":     func(r *rig, clock uint64) *cache.Claim { return r.claimOf(job, clock) },
		"refresh": func(r *rig, clock uint64) *cache.Claim { return r.claimRefreshOf(job, clock) },
	}
}

var hashWays = waysOf(hashJob)

// A hash is written whole, in the place of whatever was there, and lives as long as
// any value.
func TestHash(t *testing.T) {
	var wide []string
	want := map[string]string{}
	for i := range 1600 { // as many columns as a table can have
		name, text := fmt.Sprint("c", i), strings.Repeat("v", i)
		wide, want[name] = append(wide, name, text), text
	}
	all := newRig(t)
	for way, claim := range hashWays {
		for _, tt := range []struct {
			name  string
			value string
			want  map[string]string
		}{
			{"columns", columns("id", "7", "name", "Tea\x00\r\n"), map[string]string{"id": "7", "name": "Tea\x00\r\n"}},
			{"empty texts", columns("", "", "x", ""), map[string]string{"": "", "x": ""}},
			{"wide", columns(wide...), want},
			{"all columns are NULL", columns(), map[string]string{}},
		} {
			for _, before := range []func(*rig){
				func(*rig) {},
				func(r *rig) { r.client.HSet(r.Context(), "a", "id", "6", "gone", "by now") },
				func(r *rig) { r.client.Set(r.Context(), "a", "a string", 0) },
			} {
				t.Run(way+"/"+tt.name, func(t *testing.T) {
					r := all.again(t)
					before(r)
					out := put(t, r.values, claim(r, 10), entry("a", tt.value, time.Hour))
					if out != (cache.Outcome{Written: 1, Bytes: int64(1 + len(tt.value))}) {
						t.Errorf("%+v", out)
					}
					if d := cmp.Diff(tt.want, r.client.HGetAll(t.Context(), "a").Val()); d != "" {
						t.Error(d)
					}
					if len(tt.want) > 0 {
						r.wantLeft("a", time.Hour)
					}
					if n := r.tap.Execs.Load(); n != 0 {
						t.Error("it went by wire")
					}
				})
			}
		}
	}
}

// Hashes are refused as strings are, and what was there stays whole.
func TestHashIsRefused(t *testing.T) {
	all := newRig(t)
	for way, claim := range hashWays {
		for _, tt := range []struct {
			name string
			do   func(*rig)
			err  error
		}{
			{"fenced", func(r *rig) { r.fence(11, "a", time.Minute) }, nil},
			{"superseded", func(r *rig) { r.run(hashJob, 11) }, cache.ErrSuperseded},
			{"lost", (*rig).lose, cache.ErrLost},
			{"late", func(r *rig) { r.armed.Expire() }, cache.ErrLate},
		} {
			t.Run(way+"/"+tt.name, func(t *testing.T) {
				r := all.again(t)
				cl := claim(r, 10)
				r.client.HSet(t.Context(), "a", "id", "7")
				tt.do(r)
				out, err := r.values.Put(t.Context(), cl, batch(entry("a", columns("id", "6"), time.Hour)))
				if !errors.Is(err, tt.err) || out.Written != 0 || tt.err == nil && out.Old != 1 {
					t.Errorf("%+v, %v", out, err)
				}
				if got := r.client.HGet(t.Context(), "a", "id").Val(); got != "7" {
					t.Errorf("a hash with id %q", got)
				}
			})
		}
	}
}

// Hashes are kept and removed as strings are.
func TestHashIsKeptAndRemoved(t *testing.T) {
	r := newRig(t)
	last := hashWays["run"](r, 8)
	put(t, r.values, last, entry("a", columns("id", "7"), time.Minute), entry("b", columns("id", "8"), time.Minute))
	cl := hashWays["run"](r, 10)
	if !cl.Trust(last.NewManifest()) {
		t.Fatal("the last run is not trusted")
	}
	r.fence(9, "b", time.Minute)
	b := kept(true, "a")
	keyAt := len(b.Buf)
	b.Buf = append(b.Buf, "b"...)
	b.AddRemoval(keyAt)
	if out, err := r.values.Put(t.Context(), cl, b); err != nil || out != (cache.Outcome{Kept: 1, Removed: 1}) {
		t.Errorf("%+v, %v", out, err)
	}
	r.wantLeft("a", time.Hour)
	r.wantLeft("b", 0)
	var none store.Batch
	if out, err := r.values.Put(t.Context(), cl, &none); err != nil || out != (cache.Outcome{}) {
		t.Errorf("of nothing: %+v, %v", out, err)
	}
}
