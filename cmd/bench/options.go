package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	stoker string
	before string // an older build; empty: none
	rounds int
	scale  float64
	only   []string // parts; empty: all
	json   string
	lasts  time.Duration // how long the writer of the changes writes
	micro  bool
	goTool string
}

// partNames in the order they are done.
var partNames = []string{partProducts, partAccounts, partReader, partReruns, partMemory, partScopes, partLost,
	partKilled, partForeground, partTraces, partChanges, partMicro}

const (
	partProducts   = "products"
	partAccounts   = "accounts"
	partReader     = "reader"
	partReruns     = "reruns"
	partMemory     = "memory"
	partScopes     = "scopes"
	partLost       = "lost"
	partKilled     = "killed"
	partForeground = "foreground"
	partTraces     = "traces"
	partChanges    = "changes"
	partMicro      = "micro"
)

func parse(args []string, out io.Writer) (options, error) {
	var o options
	var only string
	var seconds int
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.stoker, "stoker", "bin/stoker", "the `binary` to measure")
	f.StringVar(&o.before, "before", "", "an older `binary`: the changes are measured with both builds, in turn, "+
		"instead of beside other programs")
	f.IntVar(&o.rounds, "rounds", 3, "how often each contender is measured, in turn; the plain Go loop once, it is "+
		"slow")
	f.Float64Var(&o.scale, "scale", 1, "shrinks all sizes, for trying the program: 0.01 is a hundredth")
	f.StringVar(&only, "only", "", "`parts` to do, with commas between: "+strings.Join(partNames, ", "))
	f.StringVar(&o.json, "json", "", "`file` that every single measurement is written to; - is standard output, "+
		"without the table")
	f.IntVar(&seconds, "seconds", 60, "how long changes are followed while a writer makes 10,000 a second; its "+
		"turns at full speed take a sixth of that")
	f.BoolVar(&o.micro, "micro", true, "compare Go benchmarks of this tree with main's, or with the commit before")
	f.StringVar(&o.goTool, "go", "go", "the go `command` that builds and compares benchmarks")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.lasts = time.Duration(seconds) * time.Second
	for name := range strings.SplitSeq(only, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.only = append(o.only, name)
		}
	}
	return o, o.check(f.Args())
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: give flags only", rest[0])
	case o.rounds < 1:
		return fmt.Errorf("-rounds is %d: give 1 or more", o.rounds)
	case !(o.scale > 0 && o.scale <= 10):
		return fmt.Errorf("-scale is %g: give more than 0, 10 at most", o.scale)
	}
	if o.lasts < time.Second {
		return fmt.Errorf("-seconds is %d: give 1 or more", int(o.lasts.Seconds()))
	}
	for _, name := range o.only {
		if !slices.Contains(partNames, name) {
			return fmt.Errorf("-only: there is no part %q; they are: %s", name, strings.Join(partNames, ", "))
		}
	}
	if _, err := os.Stat(o.stoker); err != nil {
		return fmt.Errorf("-stoker: %w (build it with make build)", err)
	}
	if _, err := os.Stat(o.before); o.before != "" && err != nil {
		return fmt.Errorf("-before: %w (give the binary of an older build)", err)
	}
	return nil
}

// wants reports whether a part is to be done.
func (o options) wants(part string) bool {
	if part == partMicro && !o.micro {
		return false
	}
	return len(o.only) == 0 || slices.Contains(o.only, part)
}

// sized shrinks a number of rows; some must remain for percentages to mean
// something.
func (o options) sized(n int64) int64 {
	const fewest = 200
	return max(int64(float64(n)*o.scale), fewest)
}
