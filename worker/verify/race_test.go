package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
)

// storm is writers that change rows as fast as they can, and refreshes that follow
// each commit, as a change feed has them.
type storm struct {
	r       *rig
	stop    chan struct{}
	wg      sync.WaitGroup
	commits atomic.Int64
}

const stormRows = 3000

func newStorm(t *testing.T) *storm {
	r := newRig(t, plan{sql: []string{verifySQL, fmt.Sprintf("INSERT INTO item SELECT i, 's', 0, 'n' FROM "+
		"generate_series(1, %d) i", stormRows)},
		jobs: []*jobs.Job{fedJob("row", jobs.ValueRow, "row:{id}", "SELECT id, v FROM item")}}).feed()
	r.run("row")
	s := &storm{r: r, stop: make(chan struct{})}
	for range 3 {
		conn, err := pgx.Connect(t.Context(), r.pg)
		if err != nil {
			t.Fatal(err)
		}
		s.wg.Go(func() {
			defer conn.Close(context.Background())
			until(s.stop, func() { s.change(conn) })
		})
	}
	return s
}

// change commits a change of a hot row and of some others, inserts and deletes
// among them, and has them fenced and loaded again.
func (s *storm) change(conn *pgx.Conn) {
	ctx := context.Background()
	ids := []int{1 + rand.IntN(5)}
	for range 5 {
		ids = append(ids, 1+rand.IntN(stormRows))
	}
	sql := "INSERT INTO item SELECT DISTINCT i, 's', $2::int, 'n' FROM unnest($1::int[]) i ORDER BY 1 ON CONFLICT " +
		"(id) DO UPDATE SET v = $2"
	args := []any{ids, s.commits.Add(1)}
	if rand.IntN(10) == 0 {
		sql, args = "DELETE FROM item WHERE id = ANY($1)", args[:1]
	}
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return // two of them lock each other out now and then
	}
	var keys []jobs.Key
	for _, id := range ids {
		keys = append(keys, jobs.Key{"id": strconv.Itoa(id)})
	}
	inv := jobs.Invalidation{Job: "row", Keys: keys}
	job, _ := s.r.spec.Job("row")
	late()
	if err := s.r.w.Fence(ctx, job, keys); err != nil {
		s.r.t.Errorf("fence: %v", err)
	}
	late()
	if _, err := s.r.w.Refresh(ctx, "storm", inv); err != nil {
		s.r.t.Errorf("refresh: %v", err)
	}
}

// late is how a feed, or a queue, lags now and then.
func late() {
	if rand.IntN(3) == 0 {
		time.Sleep(rand.N(stormLag))
	}
}

func (s *storm) end() {
	close(s.stop)
	s.wg.Wait()
}

// stormTime is how long the writers write at least. What is in doubt is given a
// multiple of the time that a refresh may lag.
const (
	stormTime  = 10 * time.Second
	stormLag   = 60 * time.Millisecond
	stormPause = time.Second
)

// tenMinutes is how many keys an audit of 50 a second looks at in ten minutes.
const tenMinutes = 10 * 60 * 50

// Broken by: a change on its way that is taken for a mistake. Ten minutes' worth of
// checks, by verify and by an audit, while rows change as fast as they can.
func TestNothingIsWrongWhileWritersWrite(t *testing.T) {
	t.Parallel()
	s := newStorm(t)
	a := s.r.auditor(1e6)
	a.walks[0].doubts.pause = stormPause
	var verified, rechecks, moving int64
	audited := func() int64 { return int64(s.r.metric("stoker_audit_checked_total")) }
	begin := time.Now()
	for verified+audited() < tenMinutes || time.Since(begin) < stormTime {
		if time.Since(begin) > time.Minute {
			t.Fatalf("after a minute %d keys were verified and %d audited", verified, audited())
		}
		out := s.r.verifyAs(Verification{Job: "row"}, stormPause, judge)
		if out.Wrong() != 0 || out.Unclear != 0 {
			t.Fatalf("verify finds what is not so: %+v", out)
		}
		verified, rechecks, moving = verified+out.Checked, rechecks+out.Rechecks, moving+out.Moving
		for range 40 {
			if _, err := a.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	took := time.Since(begin)
	s.end()
	s.r.turns(a, func() bool { return a.walks[0].doubts.open() == 0 })
	if stale, missing := s.r.causes("stoker_audit_stale_total"),
		s.r.causes("stoker_audit_missing_total"); len(stale)+len(missing) > 0 {
		t.Errorf("the audit finds what is not so: stale %v, missing %v\n%s", stale, missing, s.r.logs)
	}
	again := a.walks[0].doubts.rechecks
	if again == 0 || rechecks == 0 {
		t.Error("the test is blind: nothing had to be looked at again")
	}
	t.Logf("%s: %d commits, %d keys verified (%d looked at again, %d moving), %d audited (%d looked at again, %v "+
		"moving)",
		took, s.commits.Load(), verified, rechecks, moving, audited(), again, s.r.metric("stoker_audit_moving_total"))
}

// Broken by: a test that would let a comparison pass which believes what it sees
// at first sight, or which takes no heed of what moves.
func TestHastyComparisonsAreCaught(t *testing.T) {
	t.Parallel()
	for name, hasty := range map[string]func(*observation, observation) verdict{
		"a second look that does not mind what moved": func(last *observation, now observation) verdict {
			switch {
			case now.want.print == now.before.face || now.want.print == now.after.face:
				return right
			case last == nil:
				return again
			}
			return wrong
		},
		"two readings, compared": func(_ *observation, now observation) verdict {
			if now.want.print == now.before.face {
				return right
			}
			return wrong
		},
		"no second look": func(_ *observation, now observation) verdict {
			if now.want.print == now.before.face || now.want.print == now.after.face {
				return right
			}
			return wrong
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStorm(t)
			defer s.end()
			for begin := time.Now(); time.Since(begin) < 45*time.Second; {
				if out := s.r.verifyAs(Verification{Job: "row"}, stormPause/4, hasty); out.Wrong() > 0 {
					t.Logf("after %s it finds %d wrong: %v", time.Since(begin).Round(time.Millisecond), out.Wrong(),
						out.Findings[0])
					return
				}
			}
			t.Error("it is not caught")
		})
	}
}

// until calls do again and again.
func until(stop <-chan struct{}, do func()) {
	for {
		select {
		case <-stop:
			return
		default:
			do()
		}
	}
}
