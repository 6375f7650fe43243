package postgres_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

const (
	orderWriters = 6
	orderLookers = 3
	orderEnough  = 3000             // snapshots
	orderLongest = 30 * time.Second // if the machine is busy
)

// seen is what one snapshot said of itself, and what it showed.
type seen struct {
	clock      uint64
	xmin, xmax uint64
	running    map[uint64]bool
	shown      []uint64 // a counter a writer
}

// The commit clock rests on Postgres' internals: a version that changes them must
// not break it silently. Broken by: a clock that is xmax or xmin alone; the same
// snapshots show that.
func TestClockOrdersSnapshots(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t, "max_prepared_transactions = 20", "max_wal_senders = 4")
	url := server.URL("postgres")
	storetest.Exec(t, url, "CREATE TABLE c (id int PRIMARY KEY, v bigint NOT NULL)",
		fmt.Sprintf("INSERT INTO c SELECT i, 0 FROM generate_series(0, %d) i", orderWriters-1))
	all := snapshots(t, url)
	if len(all) < orderEnough/6 || !slices.ContainsFunc(all, func(s seen) bool { return len(s.running) > 1 }) {
		t.Errorf("the test is blind: %d snapshots", len(all))
	}
	count := func(clock func(seen) uint64) (unordered, unequal int) {
		for s, next := range inOrder(all, clock) {
			if !s.within(next) || !s.showsNoMore(next) {
				unordered++
			}
			if clock(s) == clock(next) && !slices.Equal(s.shown, next.shown) {
				unequal++
			}
		}
		return unordered, unequal
	}
	unordered, unequal := count(func(s seen) uint64 { return s.clock })
	if unordered+unequal > 0 {
		t.Errorf("of %d snapshots, %d are not in the order of the clock, and %d show other rows than another of "+
			"the same clock", len(all), unordered, unequal)
	}
	for name, clock := range map[string]func(seen) uint64{
		"xmax": func(s seen) uint64 { return s.xmax },
		"xmin": func(s seen) uint64 { return s.xmin },
	} {
		unordered, unequal := count(clock)
		if unordered+unequal == 0 {
			t.Errorf("the test is blind: %s alone would do", name)
		}
		t.Logf("%d snapshots; by %s alone, %d are out of order and %d are ties of unequal rows", len(all), name,
			unordered, unequal)
	}
}

// snapshots takes as many as it can while transactions of every kind go on.
func snapshots(t *testing.T, url string) (all []seen) {
	ctx, enough := context.WithTimeout(t.Context(), orderLongest)
	defer enough()
	var others, lookers sync.WaitGroup
	others.Go(func() { holdUp(ctx, t, url) })
	for n := range orderWriters {
		w := &orderWriter{t: t, n: n, url: url}
		others.Go(func() { w.write(ctx) })
	}
	source, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: orderLookers,
		StatementTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	j := job(t, "SELECT id, v FROM c ORDER BY id", "c:{id}")
	var mu sync.Mutex
	for range orderLookers {
		lookers.Go(func() {
			for ctx.Err() == nil {
				s, err := snapshotOf(source, j)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if all = append(all, s); err != nil || len(all) >= orderEnough {
					enough()
				}
				mu.Unlock()
			}
		})
	}
	lookers.Wait()
	others.Wait()
	return all
}

// snapshotOf reads the rows of one snapshot as a run does.
func snapshotOf(source *postgres.Source, j *jobs.Job) (s seen, err error) {
	err = source.Run(context.Background(), j, func(r *store.Reading) error {
		if s, err = parseSeen(r.Snapshot); err != nil {
			return err
		}
		for row, err := range r.Rows {
			if err != nil {
				return err
			}
			s.shown = append(s.shown, binary.BigEndian.Uint64(row[1]))
		}
		return nil
	})
	return s, err
}

// parseSeen reads the text of a snapshot on its own; the clock is the product's.
func parseSeen(snap store.Snapshot) (s seen, err error) {
	s = seen{clock: snap.Clock, running: make(map[uint64]bool)}
	parts := strings.Split(snap.Text, ":")
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return s, err
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil || parts[2] == "" {
		return s, err
	}
	for text := range strings.SplitSeq(parts[2], ",") {
		xid, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return s, err
		}
		s.running[xid] = true
	}
	return s, nil
}

// within reports whether every transaction that has ended in s has ended in o.
func (s seen) within(o seen) bool {
	for xid := range o.running {
		if xid < s.xmax && !s.running[xid] {
			return false
		}
	}
	return s.xmax <= o.xmax || s.endedFrom(o.xmax) == 0
}

// endedFrom is how many transactions from xid on have ended in s.
func (s seen) endedFrom(xid uint64) (n int) {
	for ; xid < s.xmax; xid++ {
		if !s.running[xid] {
			n++
		}
	}
	return n
}

func (s seen) showsNoMore(o seen) bool {
	for i, v := range s.shown {
		if v > o.shown[i] {
			return false
		}
	}
	return true
}

// inOrder yields each snapshot with the next one by a clock.
func inOrder(all []seen, clock func(seen) uint64) func(func(seen, seen) bool) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b seen) int { return cmp.Compare(clock(a), clock(b)) })
	return func(yield func(seen, seen) bool) {
		for i := 1; i < len(all); i++ {
			if !yield(all[i-1], all[i]) {
				return
			}
		}
	}
}
