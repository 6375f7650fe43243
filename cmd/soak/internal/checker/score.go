package checker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Caught is what became of one mutant: a row of the mutation score.
type Caught struct {
	Mutant   string
	Scenario string
	Sound    Result // the same scenario, with a sound Stoker
	Broken   Result
	Err      error // it could not be played, or is blind
}

// OK reports whether the mutant was caught and the sound Stoker was not.
func (c Caught) OK() bool {
	return c.Err == nil && len(c.Sound.Findings) == 0 && len(c.Broken.Findings) > 0
}

// Binaries are the builds that are checked.
type Binaries struct {
	Sound   string // as it is shipped, or with the race detector
	Mutants string // with the overlay
}

// Score plays the scenario of each mutant, with a sound Stoker and with the mutant
// alive, some at once.
func Score(ctx context.Context, b Binaries, mutants []Mutant, atOnce int, o Options) []Caught {
	rows, turn := make([]Caught, len(mutants)), make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, m := range mutants {
		rows[i].Mutant, rows[i].Scenario = m.Name, m.Scenario.Name
		var sound, broken error
		var both sync.WaitGroup
		play := func(binary, alive string, r *Result, err *error) {
			turn <- struct{}{}
			defer func() { <-turn }()
			*r, *err = Play(ctx, m.Scenario, binary, alive, o)
		}
		binary := b.Sound
		if m.Scenario.Options.Life > 0 {
			binary = b.Mutants // the sound one remembers for too long
		}
		both.Go(func() { play(binary, "", &rows[i].Sound, &sound) })
		both.Go(func() { play(b.Mutants, m.Name, &rows[i].Broken, &broken) })
		all.Go(func() {
			both.Wait()
			rows[i].Err = errors.Join(sound, broken)
		})
	}
	all.Wait()
	return rows
}

// MixScore has a random mix try each mutant, one after the other, with one seed. It
// finds what it finds: scenarios are what each mutant is caught by for sure.
func MixScore(ctx context.Context, b Binaries, mutants []Mutant, rounds []time.Duration, o Options) (rows []Caught) {
	for _, m := range mutants {
		o.Binary, o.Mutant, o.Life = b.Mutants, m.Name, m.Scenario.Options.Life
		if m.Scenario.Options.Slot != "" {
			o.Slot = m.Scenario.Options.Slot
		}
		r, err := Mix(ctx, o, rounds)
		rows = append(rows, Caught{Mutant: m.Name, Scenario: "random mix", Broken: r, Err: err})
	}
	return rows
}

// Table prints the mutation score.
func Table(rows []Caught) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "mutant\tscenario\tsound\tcaught by\tafter")
	n := 0
	for _, c := range rows {
		sound, by, after := "passes", "nothing", "-"
		if c.Sound.Counts == nil {
			sound = "-" // it was not played
		}
		if len(c.Sound.Findings) > 0 {
			sound = "fails by " + c.Sound.Findings[0].Invariant
		}
		if len(c.Broken.Findings) > 0 {
			first := c.Broken.Findings[0]
			by, after = first.Invariant, first.After.Round(100*time.Millisecond).String()
		}
		if c.Err != nil {
			sound = "could not be played"
		}
		if c.OK() {
			n++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Mutant, c.Scenario, sound, by, after)
	}
	fmt.Fprintf(t, "mutation score %d/%d\n", n, len(rows))
	t.Flush()
	return b.String()
}
