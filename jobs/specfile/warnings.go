package specfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// warnings says what is allowed but likely not meant. What holds for many jobs is
// said once, at the first of them.
func (d *decoder) warnings(drafts []draft, source jobs.Source) jobs.Problems {
	c := collector{}
	shapes := map[string]draft{} // :: shape of a key template -> the first job that has it
	var brief, hopeless []draft  // keys that live too short a time; those for which no ttl is long enough
	for _, j := range drafts {
		shape := j.Key.Shape()
		if first, taken := shapes[shape]; taken {
			c.add(j.at("key"), []string{first.Name, j.Name}, "give each job a prefix of its own",
				" have keys of one shape: they may overwrite each other's", shape)
		} else {
			shapes[shape] = j
		}
		if shortest, needed := lifetimes(j.Job); shortest < needed && j.Jitter < 1 {
			brief = append(brief, j)
		} else if shortest < needed {
			hopeless = append(hopeless, j)
		}
		if tellsClients(j.Job) {
			c.add(j.at("ttl"), []string{j.Name}, "have the application say how fresh a value is, see docs/readers.md: "+
				"StokerBackend, or ClientFreshness",
				": the library that such a key or value is for sends what is left of the TTL as max-age: browsers and "+
					"CDNs may keep a value for "+short(j.TTL)+", whatever is written meanwhile", "")
		}
		if len(j.Watch) > 0 && source == jobs.SourceNone {
			c.add(j.at("watch"), []string{j.Name}, "set changes.source to wal or outbox, or remove watch",
				": tables are watched, but changes.source is none: nothing is read", "")
		}
		if message, hint := unmet(j.Job, source); message != "" {
			c.add(j.at("objective"), []string{j.Name}, hint, message, "")
		}
	}
	c.addBrief(brief)
	c.addBrief(hopeless)
	return c.problems(d.file)
}

// warning is one sentence about some jobs.
type warning struct {
	at                  *yaml.Node
	names               []string // quoted
	hint, message, kind string
}

// collector keeps one warning a sentence.
type collector struct{ list []*warning }

// add takes a warning for jobs; one of the same sentence and kind gets their names.
func (c *collector) add(at *yaml.Node, names []string, hint, message, kind string) {
	for i, name := range names {
		names[i] = strconv.Quote(name)
	}
	c.addQuoted(at, names, hint, message, kind)
}

func (c *collector) addQuoted(at *yaml.Node, names []string, hint, message, kind string) {
	i := slices.IndexFunc(c.list, func(w *warning) bool {
		return w.hint == hint && w.message == message && w.kind == kind
	})
	if i < 0 {
		c.list = append(c.list, &warning{at, names, hint, message, kind})
		return
	}
	for _, name := range names {
		if !slices.Contains(c.list[i].names, name) {
			c.list[i].names = append(c.list[i].names, name)
		}
	}
}

// addBrief warns of jobs whose keys do not outlive a missed tick: in the sentence with
// the figures where these are the same for all, else with each job's own.
func (c *collector) addBrief(brief []draft) {
	var names, labels, figures []string
	hint := "no ttl is long enough"
	var enough time.Duration
	for _, j := range brief {
		shortest, needed := lifetimes(j.Job)
		names = append(names, strconv.Quote(j.Name))
		labels = append(labels, fmt.Sprintf("%q (%s of %s)", j.Name, short(shortest), short(needed)))
		figures = append(figures, fmt.Sprintf(": a key lives as short as %s, but two schedule periods plus the "+
			"timeout are %s", short(shortest), short(needed)))
		if j.Jitter < 1 {
			enough = max(enough, sufficientTTL(needed, j.Jitter))
			hint = "a ttl of " + short(enough) + " is enough"
		}
	}
	if len(brief) == 0 {
		return
	}
	message := figures[0]
	if len(slices.Compact(figures)) > 1 {
		names, message = labels, ": a key may live shorter than two schedule periods plus the timeout"
	}
	c.addQuoted(brief[0].at("ttl"), names, "raise ttl or shorten timeout; with schedule and jitter as they are, "+hint,
		message+": one missed tick leaves keys cold", "")
}

// problems words the warnings, in the order of the file.
func (c *collector) problems(file string) jobs.Problems {
	var out jobs.Problems
	for _, w := range c.list {
		out = append(out, jobs.Problem{File: file, Line: w.at.Line, Col: w.at.Column,
			Message: listed(w.names) + w.message, Hint: w.hint})
	}
	return out.InOrder()
}

// listed is `job "a"`, or `jobs "a", "b" and "c"`.
func listed(quoted []string) string {
	last := len(quoted) - 1
	if last == 0 {
		return "job " + quoted[0]
	}
	return "jobs " + strings.Join(quoted[:last], ", ") + " and " + quoted[last]
}

// aDay is fixed, so that a spec does not warn on some days only.
var aDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// lifetimes returns the shortest life of a key, and how long it should live so
// that one missed tick is not felt. Both are zero for a job without a schedule.
func lifetimes(j *jobs.Job) (shortest, needed time.Duration) {
	if j.Schedule == nil {
		return 0, 0
	}
	period := j.Schedule.Period(aDay)
	shortest = j.TTL - time.Duration(float64(j.TTL)*j.Jitter)
	return shortest, 2*period + j.Timeout
}

// briefForClients is a TTL that does no harm as a max-age.
const briefForClients = time.Minute

// tellsClients reports whether values of the job are for a library that sends what is left of the TTL as max-age, and
// live longer than the job promises them to be fresh: the SDK's envelope, and keys that the query makes of an MD5.
func tellsClients(j *jobs.Job) bool {
	computed := len(j.Key.Columns()) > 0 && strings.Contains(strings.ToLower(j.Query), "md5(")
	for _, column := range j.Key.Columns() {
		computed = computed && slices.Contains(j.Omit, column)
	}
	if j.Format != jobs.FormatFastAPIRedis && (!computed || j.Type != jobs.TypeString) {
		return false
	}
	fresh := briefForClients
	if j.Schedule != nil {
		fresh = max(fresh, j.Schedule.Period(aDay))
	}
	return j.TTL > fresh
}

// sufficientTTL is the shortest TTL that does not warn, with less than all of jitter.
func sufficientTTL(needed time.Duration, jitter float64) time.Duration {
	return time.Duration(needed.Seconds()/(1-jitter)+1) * time.Second
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
