package changes

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// Broken by: a fence that does not wait for a snapshot that shows the commit, and by
// one that lets others wait for it.
func TestBarrier(t *testing.T) {
	play(t, func(r *rig) {
		r.start.Durable = true
		r.show(50, "")
		r.yield(commit(50, product, "early"), commit(49, product, "shown"))
		r.want("fenced before it is shown", r.fences["product"], "[shown]")
		r.show(53, "50")
		r.yield(commit(51, product, "later"))
		r.want("fenced past one that waits", r.fences["product"], "[shown later]")
		r.show(53, "")
		r.sleep(longestLook)
		r.want("fenced when it is shown", r.fences["product"], "[shown later early]")
	})
}

// Broken by: a position that is acknowledged while a commit before it waits, for a snapshot, for
// its fence or for its refresh.
func TestAcknowledgedIsWhatIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start.Durable = true
		r.hold()
		defer r.run(r.Follower)()
		r.show(53, "51")
		r.yield(commit(50, product, "a"), commit(51, product, "b"), commit(52, product, "c"))
		r.sleep(time.Second)
		r.want("before the refresh", r.acked, "[]")
		r.release()
		r.sleep(time.Second)
		r.want("while 51 waits", r.acked, "[50]")
		r.show(53, "")
		r.sleep(time.Second)
		r.want("51 is fenced", r.acked, "[50]")
		r.release()
		r.sleep(time.Second)
		r.want("all is done", r.acked, "[50 52]")
		r.want("what we have followed", r.position, 52)
	})
}

// A table that is locked holds up its own job alone.
func TestLockedTableHoldsUpItsOwnJob(t *testing.T) {
	play(t, func(r *rig) {
		locked := true
		r.refuse = func(job string, _ []jobs.Key) error {
			if locked && job == "product" {
				return errors.New("locked")
			}
			return nil
		}
		r.yield(commit(1, product, "1"), commit(2, other, "2"))
		r.want("other", r.fences["other"], "[2]")
		r.yield(commit(3, product, "3"))
		r.mu.Lock()
		locked = false
		r.mu.Unlock()
		r.sleep(fenceLongestPause)
		r.want("product", r.fences["product"], "[1 3]")
	})
}

// A value that no row of the job can have must not keep the others from being
// fenced; a job that cannot be fenced is run.
func TestKeysThatCannotBe(t *testing.T) {
	play(t, func(r *rig) {
		r.refuse = func(job string, keys []jobs.Key) error {
			for _, k := range keys {
				if k["id"] == "x" {
					return &store.KeyValueError{Job: job, Column: "id", Value: "x"}
				}
			}
			if job == "other" {
				return &store.ShapeError{Job: job, Message: "no column id"}
			}
			return nil
		}
		r.yield(commit(1, product, "1", "x", "2"), commit(2, other, "2"))
		r.sleep(time.Second)
		r.want("loaded", r.begun(), "[product[1 2]]")
		r.want("run", r.handed(), "[run other]")
	})
}

func TestGaps(t *testing.T) {
	for name, test := range map[string]struct {
		start    feed.Start
		place    string
		position uint64
		gaps     int
	}{
		"a new slot":             {feed.Start{Place: "a", Fresh: true}, "a", 9, 1},
		"never followed":         {feed.Start{Place: "a"}, "", 0, 1},
		"another feed before":    {feed.Start{Place: "a"}, "b", 9, 1},
		"somebody else has read": {feed.Start{Place: "a", Position: 10}, "a", 9, 1},
		"where it was":           {feed.Start{Place: "a", Position: 9}, "a", 9, 0},
		"told after a crash":     {feed.Start{Place: "a", Position: 5}, "a", 9, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.start, r.place, r.position = test.start, test.place, test.position
				r.run(r.Follower)()
				r.want("gaps", r.gaps, test.gaps)
				if test.gaps > 0 {
					r.want("followed", r.place, test.start.Place)
				}
			})
		})
	}
}

// A feed that breaks is opened again; so is one of another history.
func TestBeginsAgain(t *testing.T) {
	play(t, func(r *rig) {
		r.broken <- errors.New("the walsender was terminated")
		r.sleep(time.Second)
		r.want("opened", r.opened, 2)
		r.mu.Lock()
		r.now.Origin = "another"
		r.mu.Unlock()
		r.yield(commit(1, product, "1"))
		r.sleep(time.Second)
		r.want("nothing is fenced by another history's snapshot", len(r.fences), 0)
		if r.opened < 3 {
			r.Errorf("opened %d times", r.opened)
		}
	})
}

// Broken by: two replicas that follow at once; a standby that takes long.
func TestOneFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stopFirst := r.run(r.Follower)
		stopSecond := r.run(r.replica())
		r.sleep(10 * time.Second)
		r.want("opened", r.opened, 1)
		r.mu.Lock()
		r.holder = "" // as when its holder was killed: nobody renews it
		r.mu.Unlock()
		stopFirst()
		r.sleep(standEvery + 10*time.Millisecond)
		if r.opened < 2 {
			t.Error("the standby has not taken over")
		}
		stopSecond()
	})
}

// Who has lost the lease to another stops following.
func TestLeaseLost(t *testing.T) {
	play(t, func(r *rig) {
		r.mu.Lock()
		r.holder = "another"
		r.mu.Unlock()
		r.sleep(2 * leaseEvery)
		select {
		case r.feed <- nil:
			r.Error("it still reads the feed")
		default:
		}
	})
}

// Broken by: a key that the query has in another form and that nobody loads; and by a
// lookup that never comes to an end and is tried for ever.
func TestWhatCannotBeFencedIsRun(t *testing.T) {
	for name, err := range map[string]error{"cut": &store.KeyValueError{Job: "product", Column: "id", Value: "1.5",
		Cut: true}, "late": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) {
			play(t, func(r *rig) {
				r.refuse = func(string, []jobs.Key) error { return err }
				r.yield(commit(1, product, "1.5"))
				r.sleep(10 * time.Second)
				r.want("run", r.handed(), "[run product]")
			})
		})
	}
}

// A transaction that was written to the log before the feed began, and that no
// snapshot shows yet, is in neither the feed nor a run of that moment. Broken by: an
// epoch that begins too early, and no other one.
func TestUnsettledTransactions(t *testing.T) {
	for name, test := range map[string]struct {
		lasts time.Duration
		gaps  map[time.Duration]int // :: after that long -> epochs
	}{
		"a short one": {time.Second, map[time.Duration]int{500 * time.Millisecond: 0, 2 * time.Second: 1,
			time.Minute: 1}},
		"a long one": {20 * time.Second, map[time.Duration]int{time.Second: 0, 5 * time.Second: 1, 19 * time.Second: 1,
			30 * time.Second: 2, time.Minute: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				began := time.Now()
				r.start.Unsettled = func(context.Context) (bool, error) { return time.Since(began) < test.lasts, nil }
				defer r.run(r.Follower)()
				for _, at := range slices.Sorted(maps.Keys(test.gaps)) {
					r.sleep(time.Until(began.Add(at)))
					r.want(at.String(), r.gapped(), test.gaps[at])
				}
			})
		})
	}
}
