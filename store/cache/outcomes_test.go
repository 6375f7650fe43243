package cache_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// event is what happens between the claim of a writer with clock 10 and its put
// of the keys a and b.
type event struct {
	name  string
	do    func(*rig)
	err   error
	old   bool // a is
	calm  bool // the book stays as it was
	noRun bool // it does not come after a run
}

var events = []event{
	{name: "nothing", do: func(*rig) {}, calm: true},
	{name: "an older fence", do: func(r *rig) { r.fence(9, "a", 0) }},
	{name: "a fence as new", do: func(r *rig) { r.fence(10, "a", 0) }},
	{name: "a newer fence", do: func(r *rig) { r.fence(11, "a", 0) }, old: true},
	{name: "a newer fence with grace", do: func(r *rig) { r.fence(11, "a", time.Minute) }, old: true},
	{name: "a fence of a later epoch", do: func(r *rig) {
		if _, err := r.other.Fence(r.Context(), arm(r, r.other), store.Stamp{Epoch: 2}, [][]byte{[]byte("a")},
			0); err != nil {
			r.Error(err)
		}
	}, old: true},
	{name: "a newer fence of another key", do: func(r *rig) { r.fence(11, "c", 0) }},
	{name: "an older refresh", do: func(r *rig) { r.refresh(9, "a") }, noRun: true},
	{name: "a refresh as new", do: func(r *rig) { r.refresh(10, "a") }},
	{name: "a newer refresh", do: func(r *rig) { r.refresh(11, "a") }, old: true},
	{name: "a run as new", do: func(r *rig) { r.run(product, 10) }},
	{name: "an older run", do: func(r *rig) { r.run(product, 9) }, noRun: true},
	{name: "a newer run", do: func(r *rig) { r.run(product, 11) }, err: cache.ErrSuperseded},
	{name: "a newer run of another job", do: func(r *rig) { r.run(otherJob, 11) }},
	{name: "the book is lost", do: (*rig).lose, err: cache.ErrLost},
	{name: "the book is lost and opened again", do: func(r *rig) { r.lose(); arm(r, r.other) }, err: cache.ErrLost},
	{name: "a flush", do: func(r *rig) { r.client.FlushDB(r.Context()) }, err: cache.ErrLost},
	{name: "the deadline passes", do: func(r *rig) { r.armed.Expire() }, err: cache.ErrLate, calm: true},
}

// way is how a batch goes.
type way struct {
	name    string
	claim   func(*rig, uint64) *cache.Claim
	refresh bool
	wire    bool
	between bool // what happens comes between the look and the EXEC
}

// TestOutcomes: what becomes of a batch depends on what has happened, not on the
// way that it goes.
func TestOutcomes(t *testing.T) {
	r := newRig(t)
	for _, w := range []way{
		{name: "run by wire", claim: (*rig).claim, wire: true},
		{name: "run by wire, at the last moment", claim: (*rig).claim, wire: true, between: true},
		{name: "run by script", claim: (*rig).claimByScript},
		{name: "refresh", claim: (*rig).claimRefresh, refresh: true},
	} {
		for _, e := range events {
			for _, flagless := range []bool{false, true} {
				if e.noRun && !w.refresh {
					continue
				}
				name := w.name + "/" + e.name
				if flagless {
					name += ", without flags"
				}
				t.Run(name, func(t *testing.T) { e.check(r.again(t), w, flagless) })
			}
		}
	}
}

func (e event) check(r *rig, w way, flagless bool) {
	if flagless {
		r.values.SetFlagless()
		r.other.SetFlagless()
	}
	cl := w.claim(r, 10)
	if err := r.client.MSet(r.Context(), "a", "before", "b", "before").Err(); err != nil {
		r.Fatal(err)
	}
	var values, book map[string]string // before the put
	happen := func() {
		e.do(r)
		values, book = r.all("a", "b")
	}
	if w.between {
		r.tap.BeforeExec = happen
	} else {
		happen()
	}
	_, owned := book["a"]
	out, err := r.values.Put(r.Context(), cl, batch(entry("a", "mine", time.Hour), entry("b", "mine", time.Hour)))
	late := w.between && e.calm // nothing has happened to the book since the look: it is as if the batch had gone then
	if want := e.err; late && err != nil || !late && !errors.Is(err, want) {
		r.Errorf("error %v, want %v", err, want)
	}
	want := cache.Outcome{}
	if err == nil {
		want = cache.Outcome{Written: 2, Bytes: 10}
		values["b"] = "mine"
		if e.old {
			want = cache.Outcome{Written: 1, Old: 1, Bytes: 5}
		} else {
			values["a"] = "mine"
		}
	}
	if d := cmp.Diff(want, out); d != "" {
		r.Error("outcome", d)
	}
	e.checkRedis(r, w, values, book)
	e.checkTransaction(r, w, owned)
}

// checkRedis: nothing else was written; of the book, by a refresh only.
func (e event) checkRedis(r *rig, w way, values, book map[string]string) {
	gotValues, gotBook := r.all("a", "b")
	if d := cmp.Diff(values, gotValues); d != "" {
		r.Error("values (-want +got)", d)
	}
	if w.refresh {
		for k, v := range values {
			if v == "mine" && !strings.HasPrefix(gotBook[k], at(10).String()) {
				r.Errorf("the refresh left %s: %q in the book", k, gotBook[k])
			}
			if v == "mine" {
				delete(gotBook, k)
				delete(book, k)
			}
		}
	}
	if d := cmp.Diff(book, gotBook); d != "" {
		r.Error("the book (-want +got)", d)
	}
}

// checkTransaction: a transaction is tried if the look allows it, and Redis refuses it
// if anything has happened to the book since.
func (e event) checkTransaction(r *rig, w way, owned bool) {
	execs, aborts := int64(0), int64(0)
	if w.wire && (w.between || e.err == nil && !owned) {
		execs = 1
	}
	if w.between && !e.calm {
		aborts = 1
	}
	if got := r.tap.Execs.Load(); got != execs {
		r.Errorf("%d transactions were sent, want %d", got, execs)
	}
	if got := r.tap.Aborts.Load(); got != aborts {
		r.Errorf("%d transactions were refused, want %d", got, aborts)
	}
}
