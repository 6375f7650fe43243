package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestLedger(t *testing.T) {
	storetest.RunLedger(t, func(t *testing.T) (storetest.Ledger, func(time.Duration)) {
		c := client(t, storetest.Redis(t))
		return ledger.New(c), pass(t, c)
	})
}

// The names of keys are promised to operators, and what is told every second
// must not stay for good.
func TestLedgerKeys(t *testing.T) {
	ctx := t.Context()
	c := client(t, storetest.Redis(t))
	l := ledger.New(c)
	for _, err := range []error{
		l.Add(ctx, store.Record{Job: "j", State: store.StateOK}),
		l.Report(ctx, store.Progress{Job: "j"}),
		l.KeepSample(ctx, "j", []string{"a"}),
		l.Skipped(ctx, "j"),
		l.Missed(ctx, "j", time.Now(), 1),
		l.Missed(ctx, "j", time.Now().Add(time.Hour), 1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Lease(ctx, "j", "me", time.Minute); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{} // name: expires
	for _, k := range c.Keys(ctx, "*").Val() {
		got[k] = c.PTTL(ctx, k).Val() > 0
	}
	want := map[string]bool{
		"stoker:runs:j": false, "stoker:last:j": false, "stoker:live:j": true,
		"stoker:tally:j": false, "stoker:sample:j": false, "stoker:lease:j": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys and whether they expire (-want +got):\n%s", diff)
	}
}

// What Stoker looks up is counted once somebody has asked for it, and leaves no key where nobody has.
// Broken by: a command that looks at a Redis that no daemon uses, or that was purged, and leaves a count behind.
func TestLookupsAreCountedOnceAsked(t *testing.T) {
	ctx := t.Context()
	c := client(t, storetest.Redis(t))
	l := ledger.New(c)
	blind := time.UnixMilli(1_700_000_000_123)
	add := func(want store.Lookups) {
		t.Helper()
		if err := l.AddLookups(ctx, store.Lookups{Hits: 3, Misses: 2, Blind: blind}); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Lookups(ctx); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	add(store.Lookups{})
	if left := c.Keys(ctx, "*").Val(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for _, first := range []bool{true, false} {
		if closed, err := l.OpenLookups(ctx); err != nil || closed != first {
			t.Errorf("closed: %v, %v", closed, err)
		}
	}
	add(store.Lookups{Hits: 3, Misses: 2, Blind: blind})
	add(store.Lookups{Hits: 6, Misses: 4, Blind: blind})
	if ttl := c.PTTL(ctx, "stoker:lookups").Val(); ttl <= 0 {
		t.Errorf("it is kept for %v", ttl)
	}
}

// What another version or another program wrote is an error that names it, not
// a zero.
func TestLedgerRefusesWhatItCannotRead(t *testing.T) {
	ctx := t.Context()
	c := client(t, storetest.Redis(t))
	l := ledger.New(c)
	for _, err := range []error{
		c.LPush(ctx, "stoker:runs:j", "{}", "[]").Err(),
		c.Set(ctx, "stoker:last:j", "{", 0).Err(),
		c.LPush(ctx, "stoker:live:j", "x").Err(),
		c.Set(ctx, "stoker:sample:j", "{}", 0).Err(),
		c.HSet(ctx, "stoker:tally:number", "missed", "many").Err(),
		c.HSet(ctx, "stoker:tally:time", "last_refresh", "today").Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, read := range map[string]func() error{
		"run 0 of j":      func() error { _, err := l.Runs(ctx, "j", 5); return err },
		"stoker:last:j":   func() error { _, _, err := l.LastComplete(ctx, "j"); return err },
		"stoker:live:j":   func() error { _, _, err := l.Live(ctx, "j"); return err },
		"stoker:sample:j": func() error { _, err := l.Sample(ctx, "j"); return err },
		"tally of number": func() error { _, err := l.Tally(ctx, "number"); return err },
		"tally of time":   func() error { _, err := l.Tally(ctx, "time"); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v; want an error that names %s", err, what)
		}
	}
}

// A Redis that is gone is an error of every call.
func TestLedgerOfAClosedClient(t *testing.T) {
	c := client(t, storetest.Redis(t))
	c.Close()
	l := ledger.New(c)
	for name, call := range map[string]func(context.Context) error{
		"Add":          func(ctx context.Context) error { return l.Add(ctx, store.Record{Job: "j"}) },
		"Runs":         func(ctx context.Context) error { _, err := l.Runs(ctx, "j", 1); return err },
		"LastComplete": func(ctx context.Context) error { _, _, err := l.LastComplete(ctx, "j"); return err },
		"Report":       func(ctx context.Context) error { return l.Report(ctx, store.Progress{Job: "j"}) },
		"Live":         func(ctx context.Context) error { _, _, err := l.Live(ctx, "j"); return err },
		"KeepSample":   func(ctx context.Context) error { return l.KeepSample(ctx, "j", nil) },
		"Sample":       func(ctx context.Context) error { _, err := l.Sample(ctx, "j"); return err },
		"Missed":       func(ctx context.Context) error { return l.Missed(ctx, "j", time.Now(), 1) },
		"Skipped":      func(ctx context.Context) error { return l.Skipped(ctx, "j") },
		"Refreshed":    func(ctx context.Context) error { return l.Refreshed(ctx, "j", 1, nil) },
		"Tally":        func(ctx context.Context) error { _, err := l.Tally(ctx, "j"); return err },
		"Lease":        func(ctx context.Context) error { _, err := l.Lease(ctx, "j", "h", time.Second); return err },
		"Renew":        func(ctx context.Context) error { _, err := l.Renew(ctx, "j", "h", time.Second); return err },
		"Release":      func(ctx context.Context) error { return l.Release(ctx, "j", "h") },
		"Holder":       func(ctx context.Context) error { _, _, err := l.Holder(ctx, "j"); return err },
	} {
		if call(t.Context()) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSampler(t *testing.T) {
	ctx := t.Context()
	c := client(t, storetest.Redis(t))
	records := ledger.New(client(t, storetest.Redis(t))) // the queue's Redis is another one
	s := ledger.Sampler{Ledger: records, Cache: cache.New(c, time.Minute)}
	warmth := func() [2]int {
		present, sampled, err := s.Warmth(ctx, "j")
		if err != nil {
			t.Fatal(err)
		}
		return [2]int{present, sampled}
	}
	if got := warmth(); got != [2]int{} {
		t.Errorf("before the first run: %v", got)
	}
	keys := []string{"a", "b", "c"}
	if err := records.KeepSample(ctx, "j", keys); err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		if got := warmth(); got != [2]int{i, 3} {
			t.Errorf("with %d keys of 3: %v", i, got)
		}
		if err := c.Set(ctx, keys[i], "v", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := warmth(); got != [2]int{3, 3} {
		t.Errorf("with all keys: %v", got)
	}
	c.Close()
	if _, sampled, err := s.Warmth(ctx, "j"); err == nil || sampled != 3 {
		t.Errorf("of a cache that is gone: %d sampled, error %v", sampled, err)
	}
}
