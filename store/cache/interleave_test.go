package cache

import (
	"strings"
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
		{"a refresh that fences and tries again", setup{runs: 2, refresh: true, selfish: true, tries: 1, losses: 1,
			grace: true}},
		{"the same, pruned", setup{runs: 1, refresh: true, selfish: true, tries: 1, losses: 1, grace: true,
			prune: true}},
		{"unchanged values, pruned", setup{runs: 2, remember: true, grace: true, prune: true}},
		{"unchanged values, lost", setup{runs: 2, refresh: true, remember: true, grace: true, losses: 1}},
		{"unchanged values, run after run", setup{runs: 3, inTurn: true, wire: true, refresh: true, remember: true,
			grace: true, prune: true}},
		{"unchanged values, run after run, lost", setup{runs: 3, inTurn: true, wire: true, refresh: true,
			remember: true, grace: true, losses: 1}},
		{"unchanged values, no fences", setup{runs: 3, wire: true, refresh: true, remember: true, alone: true}},
		{"unchanged values, no fences, pruned", setup{runs: 2, wire: true, refresh: true, remember: true, alone: true,
			prune: true}},
		{"unchanged values, no fences, lost", setup{runs: 3, inTurn: true, wire: true, refresh: true, remember: true,
			alone: true, losses: 1}},
		{"failover", setup{runs: 2, refresh: true, crashes: 1, replay: true}},
		{"unchanged values, failover", setup{runs: 2, inTurn: true, wire: true, refresh: true, remember: true,
			grace: true, crashes: 1, replay: true}},
		{"failover that is noticed", setup{runs: 2, refresh: true, crashes: 1, notice: true}},
		{"unchanged values, failover that is noticed",
			setup{runs: 2, inTurn: true, wire: true, remember: true, grace: true, crashes: 1, notice: true}},
		{"unchanged values, no fences, failover that is noticed",
			setup{runs: 3, inTurn: true, wire: true, refresh: true, remember: true, alone: true, crashes: 1,
				notice: true}},
		{"failover and a loss", setup{runs: 1, refresh: true, crashes: 1, replay: true, losses: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begun := time.Now()
			f := tt.s.explore(t, b, nil)
			t.Logf("%v in %v", f, time.Since(begun).Round(time.Millisecond))
			f.want(t, 0)
			all.states, all.moves, all.ends = all.states+f.states, all.moves+f.moves, all.ends+f.ends
		})
	}
	t.Logf("in all %v; %d distinct acts on distinct states of Redis, each executed there; %v", all, len(b.known),
		time.Since(begun).Round(time.Millisecond))
}

// want prints how a rule was broken, and fails unless it was to be.
func (f found) want(t *testing.T, broken rule) {
	t.Helper()
	if f.broken != 0 {
		t.Logf("after %d states: %v\n%s", f.states, f.broken, strings.Join(f.trace, "\n"))
	}
	if f.broken != broken {
		t.Errorf("%v, in %v; want: %v", f.broken, f, broken)
	}
	if f.broken == 0 && f.ends == 0 {
		t.Error("nothing ever comes to an end")
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
		[]edit{{"put", runCheck, `if refresh and f[2] and f[2] > stamp then`}, {"claim", runCheck, `if false then`}},
		monotone},
	{"no claim: a run does not raise #r", full,
		[]edit{{"put", `if not refresh and f[2] ~= stamp then`, `if false then`},
			{"claim", `redis.call('HSET', book, run, stamp)`, ``}}, monotone},
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
	{"a wire: the run field is not looked at", full.with(func(s *setup) {
		s.wire, s.refresh, s.overlooks = true, false,
			"run"
	}), nil, monotone},
	{"a wire: the deadline is not looked at", full.with(func(s *setup) {
		s.wire, s.refresh, s.overlooks = true, false,
			"deadline"
	}), nil, permanent},
	{"a wire: fields are not looked at", full.with(func(s *setup) {
		s.wire, s.refresh, s.overlooks = true, false,
			"field"
	}), nil, permanent},
	{"unchanged values: pruned while the run goes on",
		unchanged.with(func(s *setup) { s.prune, s.refresh = true, false }), []edit{{"touch", `if forgotten or`, `if`}},
		permanent},
	{"unchanged values: a field is not heeded", unchanged,
		[]edit{{"touch", `forgotten or f[i + 2] or not there(`, `not there(`}}, permanent},
	{"unchanged values: the last run is always believed, and the book is lost",
		unchanged.with(func(s *setup) { s.credulous, s.losses = true, 1 }), nil, permanent},
	{"unchanged values: the last run is always believed, and another has failed since",
		setup{runs: 3, remember: true, alone: true, credulous: true}, nil, honest},
	{"failover without a replay of the fences, and nobody notices", setup{runs: 1, refresh: true, crashes: 1}, nil,
		fresh},
	{"unchanged values, no fences, and nobody notices a failover",
		setup{runs: 3, inTurn: true, remember: true, alone: true, crashes: 1}, nil, honest},
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
			v.s.explore(t, newBench(t, v.edits...), nil).want(t, v.breaks)
			t.Log(time.Since(begun).Round(time.Millisecond))
		})
	}
}
