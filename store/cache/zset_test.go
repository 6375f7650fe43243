package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
)

var (
	zsetJob  = &jobs.Job{Name: "row", Type: jobs.TypeZSet, TTL: time.Hour}
	zsetWays = waysOf(zsetJob)
)

// ranking is rows as the encoder packs them for a sorted set: a msgpack array of arrays of score and member.
func ranking(rows ...[]string) string {
	b := []byte{0xdd, 0, byte(len(rows) >> 16), byte(len(rows) >> 8), byte(len(rows))} // array 32
	for _, row := range rows {
		b = append(b, 0x90|byte(len(row)))
		for _, s := range row {
			b = append(b, 0xda, byte(len(s)>>8), byte(len(s))) // str 16
			b = append(b, s...)
		}
	}
	return string(b)
}

// scoresOf is a sorted set as Redis has it.
func scoresOf(r *rig, key string) map[string]float64 {
	r.Helper()
	list, err := r.client.ZRangeWithScores(r.Context(), key, 0, -1).Result()
	if err != nil {
		r.Fatal(err)
	}
	out := map[string]float64{}
	for _, z := range list {
		out[z.Member.(string)] = z.Score
	}
	return out
}

// A ranking is written whole, in the place of whatever was there, and lives as long as any value.
func TestZSet(t *testing.T) {
	var long [][]string
	want := map[string]float64{}
	for i := range 5001 { // more than Lua unpacks at once
		long, want[fmt.Sprint("m", i)] = append(long, []string{strconv.Itoa(-i), fmt.Sprint("m", i)}), float64(-i)
	}
	all := newRig(t)
	for way, claim := range zsetWays {
		for name, tc := range map[string]struct {
			value string
			want  map[string]float64
		}{
			"some": {ranking([]string{"1.5", "a"}, []string{}, []string{"+Inf", "b\x00\r\n"}, []string{"1e+300", ""}),
				map[string]float64{"a": 1.5, "b\x00\r\n": math.Inf(1), "": 1e300}},
			"the last of a member": {ranking([]string{"1", "a"}, []string{"2", "a"}), map[string]float64{"a": 2}},
			"many":                 {ranking(long...), want},
			"none":                 {ranking([]string{}), map[string]float64{}},
		} {
			for what, before := range map[string]func(*rig){
				"nothing":   func(*rig) {},
				"a ranking": func(r *rig) { r.client.ZAdd(r.Context(), "a", redis.Z{Score: 7, Member: "gone by now"}) },
				"a string":  func(r *rig) { r.client.Set(r.Context(), "a", "a string", 0) },
			} {
				t.Run(way+"/"+name+"/"+what, func(t *testing.T) {
					r := all.again(t)
					before(r)
					out := put(t, r.values, claim(r, 10), entry("a", tc.value, time.Hour))
					if out != (cache.Outcome{Written: 1, Bytes: int64(1 + len(tc.value))}) {
						t.Errorf("%+v", out)
					}
					if d := cmp.Diff(tc.want, scoresOf(r, "a")); d != "" {
						t.Error(d)
					}
					if len(tc.want) > 0 {
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

// Rankings are refused as strings are, and what was there stays whole; and they are kept and removed as strings are.
func TestZSetIsRefusedKeptAndRemoved(t *testing.T) {
	all := newRig(t)
	for way, claim := range zsetWays {
		for name, tc := range map[string]struct {
			do  func(*rig)
			err error
		}{
			"fenced":     {func(r *rig) { r.fence(11, "a", time.Minute) }, nil},
			"superseded": {func(r *rig) { r.run(zsetJob, 11) }, cache.ErrSuperseded},
			"lost":       {(*rig).lose, cache.ErrLost},
			"late":       {func(r *rig) { r.armed.Expire() }, cache.ErrLate},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				r := all.again(t)
				cl := claim(r, 10)
				r.client.ZAdd(t.Context(), "a", redis.Z{Score: 7, Member: "m"})
				tc.do(r)
				out, err := r.values.Put(t.Context(), cl, batch(entry("a", ranking([]string{"6", "m"}), time.Hour)))
				if !errors.Is(err, tc.err) || out.Written != 0 || tc.err == nil && out.Old != 1 {
					t.Errorf("%+v, %v", out, err)
				}
				if got := r.client.ZScore(t.Context(), "a", "m").Val(); got != 7 {
					t.Errorf("a score of %g", got)
				}
			})
		}
	}
	r := all.again(t)
	last := zsetWays["run"](r, 8)
	put(t, r.values, last, entry("a", ranking([]string{"1", "m"}), time.Minute),
		entry("b", ranking([]string{"1", "m"}), time.Minute))
	cl := zsetWays["run"](r, 10)
	if !cl.Trust(last.NewManifest()) {
		t.Fatal("the last run is not trusted")
	}
	b := kept(true, "a")
	keyAt := len(b.Buf)
	b.Buf = append(b.Buf, "b"...)
	b.AddRemoval(keyAt)
	if out, err := r.values.Put(t.Context(), cl, b); err != nil || out != (cache.Outcome{Kept: 1, Removed: 1}) {
		t.Errorf("%+v, %v", out, err)
	}
	r.wantLeft("a", time.Hour)
	r.wantLeft("b", 0)
}

// Readers see the whole of one ranking, the one before or the one after: never none, and never a part. Broken by:
// members that are added to what was there, and a removal that comes before them in a command of its own.
func TestReadersSeeWholeRankings(t *testing.T) {
	all := newRig(t)
	of := func(n int) string {
		rows := make([][]string, 0, 300)
		for i := range 300 {
			rows = append(rows, []string{strconv.Itoa(n), strconv.Itoa(i + n)})
		}
		return ranking(rows...)
	}
	for name, write := range map[string]func(r *rig, cl *cache.Claim, n int) error{
		"as it is": func(r *rig, cl *cache.Claim, n int) error {
			_, err := r.values.Put(r.Context(), cl, batch(entry("a", of(n), time.Hour)))
			return err
		},
		"broken: members by themselves": func(r *rig, _ *cache.Claim, n int) error {
			members := make([]redis.Z, 0, 300)
			for i := range 300 {
				members = append(members, redis.Z{Score: float64(n), Member: i + n})
			}
			return errors.Join(r.client.Unlink(r.Context(), "a").Err(),
				r.client.ZAdd(r.Context(), "a", members...).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := all.again(t)
			cl := zsetWays["refresh"](r, 10)
			if err := write(r, cl, 1); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var reads, halves atomic.Int64
			var readers sync.WaitGroup
			for range 4 {
				readers.Go(func() {
					for ctx.Err() == nil {
						list, err := r.client.ZRangeWithScores(ctx, "a", 0, -1).Result()
						if err != nil {
							continue
						}
						reads.Add(1)
						if len(list) != 300 || list[0].Score != list[299].Score {
							halves.Add(1)
						}
					}
				})
			}
			begun := time.Now()
			for n := 2; reads.Load() < 20_000 && halves.Load() == 0 && time.Since(begun) < 20*time.Second; n++ {
				if err := write(r, cl, n); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			readers.Wait()
			if broken := name != "as it is"; (halves.Load() > 0) != broken {
				t.Errorf("%d of %d reads have seen a part of a ranking", halves.Load(), reads.Load())
			}
		})
	}
}
