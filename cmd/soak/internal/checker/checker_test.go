package checker

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// seed of the short form; `make soak` tries others.
const seed = 1

var built struct {
	sync.Once
	Binaries
	err error
}

// binaries are built once: the sound one with the race detector, as this test is.
func binaries(t *testing.T) Binaries {
	t.Helper()
	built.Do(func() {
		var dir string
		if dir, built.err = os.MkdirTemp("", "stoker-checker-build-"); built.err != nil {
			return
		}
		storetest.AtEnd(func() error { return os.RemoveAll(dir) })
		built.Binaries, built.err = BuildBoth(t.Context(), dir, raceFlag()...)
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.Binaries
}

// Broken by: anything that keeps a value stale for good, shows what was not
// committed, or lets a value get older.
func TestMix(t *testing.T) {
	t.Parallel()
	b := binaries(t)
	var blind []string
	for n := range uint64(tries) {
		r, err := Mix(t.Context(), Options{Binary: b.Sound, Seed: seed + n, Source: "wal", Grace: time.Second,
			Log: t.Output()}, []time.Duration{4 * time.Second, 7 * time.Second, 9 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		report(t, r)
		if blind = missing(r); len(blind) == 0 || t.Failed() {
			return
		}
		t.Logf("with seed %d the mix was blind: no %s", seed+n, strings.Join(blind, ", no "))
	}
	t.Errorf("I9: the test is blind with each of %d seeds: no %s", tries, strings.Join(blind, ", no "))
}

// missing is what has to happen in a mix, and has not. When it does is for the faults and the machine to say.
func missing(r Result) (blind []string) {
	for _, what := range []string{"reads", "faults", "invalidations", "forced runs", "epochs seen",
		"transactions: commit", "transactions: rollback",
		"transactions: savepoint", "transactions: commit prepared", "transactions: rollback prepared",
		"stoker_refreshes_total", "stoker_runs_total",
		"stoker_refresh_refusals_total", "stoker_run_restarts_total", "stoker_changes_barrier_waits_total",
		"stoker_changes_gaps_total", "times that a daemon began to follow"} {
		if r.Counts[what] == 0 {
			blind = append(blind, what)
		}
	}
	return blind
}

// The same where replication is not to be had, beside two other specs on the same Redis servers. Broken by: keys or
// queues that are not of the namespace.
func TestMixOutbox(t *testing.T) {
	t.Parallel()
	b := binaries(t)
	r, err := Mix(t.Context(), Options{Binary: b.Sound, Seed: seed, Source: "outbox", OwnQueue: true, Neighbours: true,
		Log: t.Output()}, []time.Duration{2 * time.Second, 6 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	report(t, r)
	for _, what := range []string{"writes of neighbours", "purges"} {
		if r.Counts[what] == 0 {
			t.Errorf("I9: no %s", what)
		}
	}
}

func report(t *testing.T, r Result) {
	t.Helper()
	for _, f := range r.Findings {
		t.Errorf("%s after %s: %s", f.Invariant, f.After, f.Text)
	}
	if t.Failed() {
		t.Log(r.Logs)
	}
	t.Logf("\n%s", r)
}

// It is not beside the mixes, and two scenarios are played at a time: they wait for seconds, and where four of them and
// two mixes share two cores, what has to happen in these does not.
//
// Broken by: a checker that would let a broken protocol pass.
func TestMutants(t *testing.T) {
	b := binaries(t)
	b.Sound = b.Mutants // with none alive: the same program but for the mutant. The race detector is in the mixes
	rows := Score(t.Context(), b, Mutants, 2, Options{Seed: seed})
	t.Logf("\n%s", Table(rows))
	for _, c := range rows {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Mutant, c.Err)
		} else if !c.OK() {
			t.Errorf("%s: sound: %v, broken: %v\n%s", c.Mutant, c.Sound.Findings, c.Broken.Findings, c.Sound.Logs)
		}
	}
}

// A mutant whose text the code has no more is noticed without building it.
func TestMutantsFit(t *testing.T) {
	t.Parallel()
	if _, err := Overlay(t.Context()); err != nil {
		t.Error(err)
	}
}

// Broken by: an overlay that takes the first of several places, or none at all.
func TestMutantsThatFitNoMoreAreTold(t *testing.T) {
	t.Parallel()
	root, err := testserver.ModuleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"no such text", "err"} {
		if err := (Edit{"store/cache/arm.go", old, ""}).apply(root, "bad", map[string]string{}); err == nil {
			t.Errorf("%q is replaced", old)
		}
	}
}
