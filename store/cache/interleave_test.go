package cache

import (
	"testing"
	"time"
)

// full is everybody at once: two runs of a job and a refresh, while two commits
// and their fences come, time passes, the book is pruned, and one time it is lost
// alone or with all values.
var full = setup{runs: 2, refresh: true, prune: true, losses: 1}

func (s setup) with(change func(*setup)) setup {
	change(&s)
	return s
}

// TestInterleavings explores every order in which one key can be written, fenced
// and pruned while Redis forgets, with the scripts as they are.
func TestInterleavings(t *testing.T) {
	b := newBench(t)
	begun := time.Now()
	var all found
	for _, tt := range []struct {
		name string
		s    setup
	}{
		{"by script", full},
		{"by script, with grace", full.with(func(s *setup) { s.grace = true })},
		{"by wire", full.with(func(s *setup) { s.wire = true })},
		{"by wire, with grace", full.with(func(s *setup) { s.wire, s.grace = true, true })},
		{"a refresh that fences and tries again", setup{runs: 2, refresh: true, selfish: true, tries: 1, losses: 1, grace: true}},
		{"the same, pruned", setup{runs: 1, refresh: true, selfish: true, tries: 1, losses: 1, grace: true, prune: true}},
		{"unchanged values, pruned", setup{runs: 2, refresh: true, remember: true, grace: true, prune: true}},
		{"unchanged values, lost", setup{runs: 2, refresh: true, remember: true, grace: true, losses: 1}},
		{"failover", setup{runs: 2, refresh: true, crashes: 1, replay: true}},
		{"failover and a loss", setup{runs: 1, refresh: true, crashes: 1, replay: true, losses: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begun := time.Now()
			f := tt.s.explore(t, b)
			t.Logf("%v in %v", f, time.Since(begun).Round(time.Millisecond))
			if f.broken != 0 {
				f.tell(t)
				t.Fail()
			}
			if f.ends == 0 {
				t.Error("nothing ever comes to an end")
			}
			all.states, all.moves, all.ends = all.states+f.states, all.moves+f.moves, all.ends+f.ends
		})
	}
	t.Logf("in all %v; %d distinct acts on distinct states of Redis, each executed there; %v", all, len(b.known), time.Since(begun).Round(time.Millisecond))
}

// tell prints how a rule was broken.
func (f found) tell(t *testing.T) {
	t.Helper()
	t.Logf("after %d states: %v", f.states, f.broken)
	for i, step := range f.trace {
		t.Logf("%3d  %s", i+1, step)
	}
}

// variant is the protocol with something left out.
type variant struct {
	name   string
	s      setup
	edits  []edit
	breaks rule
}

// Texts that variants take out of the scripts.
const (
	nonceCheck    = `if f[1] ~= nonce then return 'LOST' end`
	deadlineCheck = `then return 'LATE' end`
	runCheck      = `if f[2] and f[2] > stamp then`
	neverLate     = `then local _ = nil end`
)

var variants = []variant{
	{"no run check", full,
		[]edit{{"put", runCheck, `if refresh and f[2] and f[2] > stamp then`}, {"claim", runCheck, `if false then`}}, monotone},
	{"no claim: a run does not raise #r", full,
		[]edit{{"put", `if not refresh and f[2] ~= stamp then`, `if false then`}, {"claim", `if f[2] ~= stamp then`, `if false then`}}, monotone},
	{"no stamps of refreshes", full,
		[]edit{{"put", `if refresh then redis.call('HSET', book, KEYS[i], mine) end`, ``}}, monotone},
	{"no floor for refreshes", full,
		[]edit{{"put", runCheck, `if not refresh and f[2] and f[2] > stamp then`}}, monotone},
	{"no barrier", full.with(func(s *setup) { s.noBarrier = true }), nil, permanent},
	{"no nonce, and the book is lost", full.with(func(s *setup) { s.prune = false }),
		[]edit{{"put", nonceCheck, ``}, {"claim", nonceCheck, ``}}, permanent},
	{"no deadline, and the book is pruned", full.with(func(s *setup) { s.losses = 0 }),
		[]edit{{"put", deadlineCheck, neverLate}, {"claim", deadlineCheck, neverLate}}, permanent},
	{"fields are pruned at once", full.with(func(s *setup) { s.losses = 0 }),
		[]edit{{"prune", `- math.max(life, tonumber(head[1] or 0))`, `+ 1000000`}}, permanent},
	{"a fence leaves no field", full, []edit{{"fence", `if open and not newer then`, `if false then`}}, permanent},
	{"a field is not heeded", full, []edit{{"put", `if fence and fence > newest then`, `if false then`}}, permanent},
	{"a fence removes nothing", full, []edit{{"fence", `if not newer or grace < 0 then`, `if false then`}}, permanent},
	{"EXEC without WATCH", full.with(func(s *setup) { s.wire, s.noWatch = true, true }), nil, permanent},
	{"unchanged values: a field is not heeded", unchanged, []edit{{"touch", `forgotten or f[i + 2] or not there(`, `not there(`}}, permanent},
	{"unchanged values: the last run is always believed", unchanged.with(func(s *setup) { s.credulous, s.prune = true, true }), nil, permanent},
	{"failover without a replay of the fences", setup{runs: 1, refresh: true, crashes: 1}, nil, fresh},
}

// unchanged is what shows that the digest of a value says little: the content
// comes back, and the refresh in between may be lost.
var unchanged = setup{runs: 2, refresh: true, remember: true, grace: true}

// TestVariants explores the protocol with something left out: a checker that does
// not notice proves nothing.
func TestVariants(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			begun := time.Now()
			f := v.s.explore(t, newBench(t, v.edits...))
			if f.broken == 0 {
				t.Fatalf("it is not noticed in %v", f)
			}
			f.tell(t)
			t.Log(time.Since(begun).Round(time.Millisecond))
			if f.broken != v.breaks {
				t.Errorf("it breaks another rule than it used to: %v", v.breaks)
			}
		})
	}
}
