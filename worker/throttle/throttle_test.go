package throttle

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres/pressure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shared is a ledger in which so many other runs take part.
type shared struct {
	others atomic.Int64
	set    string
	down   atomic.Bool
}

func (s *shared) TakePart(context.Context, string, time.Duration) (int, string, error) {
	if s.down.Load() {
		return 0, "", errors.New("redis is down")
	}
	return int(s.others.Load()) + 1, s.set, nil
}

func (s *shared) EndPart(context.Context, string) error { return nil }

// brake is a database that says when it can bear no more.
type brake struct {
	reason atomic.Pointer[string]
	fails  atomic.Bool
}

func (b *brake) Reason(context.Context) (string, string, error) {
	if b.fails.Load() {
		return "", pressure.ByQuery, errors.New("no such table")
	}
	if reason := b.reason.Load(); reason != nil {
		return *reason, pressure.ByQuery, nil
	}
	return "", pressure.ByQuery, nil
}

func (b *brake) Close() {}

// rig is a run that reads a row each millisecond.
type rig struct {
	*Throttle
	ledger  *shared
	brake   *brake
	reasons []string // that were noted
}

func newRig(b budget.Budget) *rig {
	r := &rig{ledger: &shared{}, brake: &brake{}}
	if b.MaxSnapshotAge == 0 {
		b.MaxSnapshotAge = budget.DefaultMaxSnapshotAge
	}
	r.Throttle = New(Config{Budget: func() budget.Budget { return b }, Ledger: r.ledger,
		Pressure: func(budget.Budget) Pressure { return r.brake }, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler)})
	return r
}

// read reads n rows and returns how long that took; at is called before each.
func (r *rig) read(t *testing.T, n int, at func(i int)) (took time.Duration) {
	t.Helper()
	ctx := store.OnWait(t.Context(), func(reason *string) {
		if reason != nil {
			r.reasons = append(r.reasons, *reason)
		}
	})
	defer r.enter(ctx, "run")()
	p := &part{t: r.Throttle, reading: time.Now()}
	defer p.cutSlices()()
	begun := time.Now()
	rows := p.rows(ctx, &store.Reading{Begun: begun, Rows: func(yield func(store.Row, error) bool) {
		for i := range n {
			if at != nil {
				at(i)
			}
			time.Sleep(time.Millisecond)
			if !yield(nil, nil) {
				return
			}
		}
	}})
	for _, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(begun)
}

// The time of all runs together is the share. Broken by: a share of each run; a ledger that cannot be read and is taken
// for an empty one.
func TestShare(t *testing.T) {
	for name, test := range map[string]struct {
		share  float64
		set    string
		others int64
		down   bool
		want   float64 // times as long
	}{
		"none":               {0, "", 0, false, 1},
		"a quarter":          {0.25, "", 0, false, 4},
		"a quarter of three": {0.25, "", 2, false, 12},
		"all of it":          {1, "", 0, false, 1},
		"set at run time":    {0.25, "50%", 0, false, 2},
		"taken away":         {0.25, "none", 0, false, 1},
		"set to nonsense":    {0.25, "a bit", 0, false, 4},
		"redis is down":      {0.25, "", 2, true, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(budget.Budget{Share: test.share, MaxSnapshotAge: time.Hour})
				r.ledger.set = test.set
				r.ledger.others.Store(test.others)
				took := r.read(t, 5000, func(i int) {
					if i == 100 {
						r.ledger.down.Store(test.down)
					}
				})
				if times := took.Seconds() / 5; times < 0.95*test.want || times > 1.1*test.want {
					t.Errorf("%.2f times as long, want %v", times, test.want)
				}
				if paced := len(r.reasons) > 0; paced != (test.want > 1) {
					t.Errorf("reasons %q", r.reasons)
				}
			})
		})
	}
}

// Broken by: a pause that goes on when the reason is gone; a look that fails and is taken for a free road; a run that
// begins beside a reason.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(budget.Budget{Query: "SELECT true"})
		var held, freed time.Time
		took := r.read(t, 1000, func(i int) {
			switch i {
			case 300:
				held = time.Now()
				r.brake.reason.Store(new("throttle_query says busy"))
				time.AfterFunc(10*time.Second, func() { r.brake.reason.Store(nil); freed = time.Now() })
			case 700:
				r.brake.fails.Store(true)
				time.AfterFunc(5*time.Second, func() { r.brake.fails.Store(false) })
			}
		})
		if want := 16 * time.Second; took < want-300*time.Millisecond || took > want+300*time.Millisecond {
			t.Errorf("it took %s, want %s; held at %s until %s", took, want, held, freed)
		}
		if all := strings.Join(r.reasons, "; "); len(r.reasons) != 2 || !strings.Contains(all, "busy") ||
			!strings.Contains(all, "no such table") {
			t.Errorf("reasons: %s", all)
		}
		if waited := testutil.ToFloat64(r.c.Metrics.seconds.WithLabelValues(pressure.ByQuery)); waited < 14.5 {
			t.Errorf("waited for %v s", waited)
		}
	})
}

// Broken by: a run that begins while something forbids it, and one whose context ends and that goes on waiting.
func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(budget.Budget{MaxLag: time.Second})
		r.brake.reason.Store(new("a standby is 5s behind"))
		time.AfterFunc(3*time.Second, func() { r.brake.reason.Store(nil) })
		defer r.enter(t.Context(), "run")()
		began := time.Now()
		if err := (&part{t: r.Throttle}).begin(t.Context()); err != nil || time.Since(began) < 3*time.Second {
			t.Errorf("it begins after %s: %v", time.Since(began), err)
		}
		r.brake.reason.Store(new("a standby is 7s behind"))
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the run took too long"))
		defer cancel()
		err := (&part{t: r.Throttle}).begin(ctx)
		if err == nil || !strings.Contains(err.Error(), "7s behind") || !strings.Contains(err.Error(), "too long") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// A snapshot that is open keeps Postgres from cleaning up. Broken by: pauses without a bound.
func TestMaxSnapshotAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(budget.Budget{Query: "SELECT true", MaxSnapshotAge: 2 * time.Minute})
		took := r.read(t, 1000, func(i int) {
			if i == 500 {
				r.brake.reason.Store(new("busy for good"))
			}
		})
		if took < 2*time.Minute || took > 2*time.Minute+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
