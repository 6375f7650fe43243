package initspec

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/stokerhq/stoker/store/postgres/discover"
)

// planned is a job with the schedule that it can bear.
type planned struct {
	discover.Found
	period, ttl time.Duration
}

// rhythm is a period, and a TTL that outlives two of it and a run.
type rhythm struct{ period, ttl time.Duration }

// rhythms are the periods to choose from. A key lives 90 % of its TTL at least, and a run takes five minutes at most.
var rhythms = []rhythm{
	{time.Minute, 15 * time.Minute},
	{5 * time.Minute, 30 * time.Minute},
	{15 * time.Minute, time.Hour},
	{30 * time.Minute, 2 * time.Hour},
	{time.Hour, 3 * time.Hour},
	{6 * time.Hour, 24 * time.Hour},
	{24 * time.Hour, 72 * time.Hour},
}

// What a schedule may cost the database.
const (
	ofOneCore  = 0.01 // a job's runs may keep one core busy for so much of the time
	ofTheReads = 0.1  // and for so much of what the reads cost that they replace
	atMost     = 0.5  // with the longest period, a job that costs more than this of its reads is not worth it
)

// unknownReads is the shortest period where the cost of the reads is not known.
const unknownReads = 5 * time.Minute

// few calls are no reason for a job.
const few = 5

// plan chooses a schedule for each job, leaves out what is not worth one, and ranks the rest by what it saves.
func plan(r *discover.Report, most int) (list []planned, left []discover.Left) {
	left = r.Left
	for _, f := range r.Found {
		p := planned{Found: f}
		why := p.schedule()
		if why == "" {
			list = append(list, p)
			continue
		}
		left = append(left, discover.Left{Query: discover.Brief(f.Query), Reason: why, Calls: f.Calls, Took: f.Took})
	}
	slices.SortStableFunc(list, func(a, b planned) int {
		return cmp.Or(cmp.Compare(b.Saved(b.period), a.Saved(a.period)), cmp.Compare(b.Scans, a.Scans))
	})
	if len(list) > most {
		for _, p := range list[most:] {
			left = append(left, discover.Left{Query: discover.Brief(p.Query), Calls: p.Calls, Took: p.Took,
				Reason: fmt.Sprintf("%d jobs that save more were found (--jobs)", most)})
		}
		list = list[:most]
	}
	slices.SortStableFunc(left, func(a, b discover.Left) int { return cmp.Compare(b.Took, a.Took) })
	return list, left
}

// schedule chooses the shortest period that the database hardly notices, or says why there is none.
func (p *planned) schedule() (why string) {
	known := p.Age > 0
	if known && p.Calls < few {
		return fmt.Sprintf("rare: %d calls in %s", p.Calls, rounded(p.Age))
	}
	for _, r := range rhythms {
		load := p.Run.Seconds() / r.period.Seconds()
		if load <= ofOneCore && (known && load <= ofTheReads*p.Load() || !known && r.period >= unknownReads) {
			p.period, p.ttl = r.period, r.ttl
			return ""
		}
	}
	longest := rhythms[len(rhythms)-1]
	if known && p.Run.Seconds()/longest.period.Seconds() > atMost*p.Load() {
		return fmt.Sprintf("rare: to warm it once a day (%s) costs more than half of what its reads do (%s in %s)",
			rounded(p.Run), rounded(p.Took), rounded(p.Age))
	}
	p.period, p.ttl = longest.period, longest.ttl
	return ""
}

// rounded is a duration as a person says it.
func rounded(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	case d >= time.Minute:
		return fmt.Sprintf("%.1f minutes", d.Minutes())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

// span is a duration as a spec has it.
func span(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
