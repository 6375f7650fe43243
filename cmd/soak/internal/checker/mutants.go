package checker

// Mutant is a way to break Stoker in one place, and the scenario that shows it.
type Mutant struct {
	Name     string
	Edits    []Edit
	Scenario Scenario
}

// Edit replaces a text of a source file that is there exactly once.
type Edit struct{ File, Old, New string }

// Mutants are the parts of the write protocol, each taken out alone.
var Mutants = []Mutant{
	{"no fence", []Edit{{"store/cache/fence.go",
		`	ms := grace.Milliseconds()
`, `	if mutated("no fence") {
		return nil, nil
	}
	ms := grace.Milliseconds()
`}}, fenceScenario},

	{"fence without barrier", []Edit{{"scheduler/changes/stream.go",
		`; err != nil || !shown {`,
		`; err != nil || !shown && !mutated("fence without barrier") {`}}, barrierScenario},

	{"no nonce", []Edit{{"store/cache/arm.go",
		`func newNonce() string { return rand.Text() + rand.Text() + rand.Text() }`,
		`func newNonce() string {
	if mutated("no nonce") {
		return "one for all"
	}
	return rand.Text() + rand.Text() + rand.Text()
}`}}, nonceScenario},

	{"no deadline", []Edit{{"store/cache/arm.go",
		`	deadline := life.Milliseconds() / 2`,
		`	deadline := life.Milliseconds() / 2
	if mutated("no deadline") {
		deadline = 1 << 40
	}`}}, deadlineScenario},

	{"no epoch", []Edit{{"store/cache/epoch.go",
		`if a.origin == "" || !store.SameHistory(s.Origin, a.origin) || clock < a.clock {`,
		`if a.origin == "" || (!store.SameHistory(s.Origin, a.origin) || clock < a.clock) && !mutated("no epoch") {`}},
		epochScenario},

	{"LSN in place of the clock", []Edit{{"store/postgres/snapshot.go",
		`SELECT pg_current_snapshot()::text,`,
		`SELECT pg_current_snapshot()::text || '|' || (pg_current_wal_insert_lsn() - '0/0'::pg_lsn),`,
	}, {"store/postgres/snapshot.go",
		`	s := store.Snapshot{Text: string(row[0]),`,
		`	text, lsn, _ := strings.Cut(string(row[0]), "|")
	s := store.Snapshot{Text: text,`,
	}, {"store/postgres/snapshot.go",
		`	s.Clock, err = clock(s.Text)
`, `	s.Clock, err = clock(s.Text)
	if mutated("LSN in place of the clock") {
		s.Clock, err = strconv.ParseUint(lsn, 10, 64)
	}
`}}, clockScenario},

	{"acknowledge before fence", []Edit{{"scheduler/changes/stream.go",
		`	visible, err := s.visible(ctx)
`, `	if mutated("acknowledge before fence") {
		if err := s.epochs.Follow(ctx, s.start.Place, 1<<62); err != nil {
			return err
		}
	}
	visible, err := s.visible(ctx)
`,
	}, {"store/feed/wal/wal.go",
		`	if !w.permanent {
		return w.received
`, `	if !w.permanent || mutated("acknowledge before fence") {
		return w.received
`}}, acknowledgeScenario},

	{"a failed refresh is forgotten", []Edit{{"scheduler/changes/pending.go",
		`	p.batches--
	p.lastErr = err
`, `	if mutated("a failed refresh is forgotten") {
		p.succeeded(b, now)
		return
	}
	p.batches--
	p.lastErr = err
`}}, failedRefreshScenario},

	{"folded away", []Edit{{"scheduler/changes/pending.go",
		`	case known.inHand && known.again == nil:
`, `	case known.inHand && known.again == nil && !mutated("folded away"):
`,
	}, {"scheduler/changes/refresher.go",
		`	err := r.load.RefreshFenced(loading, job, keys)
`, `	err := r.load.RefreshFenced(loading, job, keys)
	if mutated("folded away") {
		time.Sleep(2 * time.Second)
	}
`}}, foldedScenario},

	{"no untracked", []Edit{{"store/cache/untracked.go",
		`	all := Untracked{Keys: make(map[string]bool)}
`, `	all := Untracked{Keys: make(map[string]bool)}
	if mutated("no untracked") {
		return all, nil
	}
`}}, untrackedScenario},
}

// shortLife lets a scenario shorten what a book remembers, in the sound build and
// in the broken one: ten minutes are too long to wait for.
var shortLife = Edit{"store/cache/cache.go",
	`max(shortestLife, 4*longest, c.lifetime())`,
	`checkerLife(max(shortestLife, 4*longest, c.lifetime()))`}
