package specfile

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// warnings says what is allowed but likely not meant.
func (d *decoder) warnings(drafts []draft, source jobs.Source) jobs.Problems {
	var out jobs.Problems
	warn := func(n *yaml.Node, hint, format string, args ...any) {
		out = append(out, jobs.Problem{File: d.file, Line: n.Line, Col: n.Column, Message: fmt.Sprintf(format, args...),
			Hint: hint})
	}
	shapes := map[string]string{} // :: shape of a key template -> the first job that has it
	for _, j := range drafts {
		if first, taken := shapes[j.Key.Shape()]; taken {
			warn(j.at("key"), "give each job a prefix of its own",
				"jobs %q and %q have keys of one shape: they may overwrite each other's", first, j.Name)
		} else {
			shapes[j.Key.Shape()] = j.Name
		}
		if shortest, needed := lifetimes(j.Job); shortest < needed {
			warn(j.at("ttl"), "raise ttl or shorten timeout; with schedule and jitter as they are, "+atLeast(needed,
				j.Jitter),
				"job %q: a key lives as short as %s, but two schedule periods plus the timeout are %s: one missed "+
					"tick leaves keys cold", j.Name, short(shortest), short(needed))
		}
		if read := volatileRead(j.Query); read != "" && !j.Volatile && j.Rewrite != jobs.RewriteAlways {
			warn(j.atQuery(), "add volatile: true, or compute it in the reader",
				"job %q: the query reads %s, but is skipped while no transaction commits", j.Name, read)
		}
		if len(j.Watch) > 0 && source == jobs.SourceNone {
			warn(j.at("watch"), "set changes.source to wal or outbox, or remove watch",
				"job %q watches tables, but changes.source is none: nothing is read", j.Name)
		}
	}
	return out.InOrder()
}

// lifetimes returns the shortest life of a key, and how long it should live so
// that one missed tick is not felt. Both are zero for a job without a schedule.
func lifetimes(j *jobs.Job) (shortest, needed time.Duration) {
	if j.Schedule == nil {
		return 0, 0
	}
	// From a fixed day, so that a spec does not warn on some days only.
	period := j.Schedule.Period(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	shortest = j.TTL - time.Duration(float64(j.TTL)*j.Jitter)
	return shortest, 2*period + j.Timeout
}

// atLeast names the shortest TTL that does not warn.
func atLeast(needed time.Duration, jitter float64) string {
	if jitter >= 1 {
		return "no ttl is long enough"
	}
	seconds := time.Duration(needed.Seconds()/(1-jitter)+1) * time.Second
	return "a ttl of " + short(seconds) + " is enough"
}

// short is 5m for 5m0s.
func short(d time.Duration) string {
	s := d.Round(time.Millisecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
