package report

import "math"

// Goal is a figure, and what it should be.
type Goal struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit,omitempty"`   // MiB, %, ms; none for a ratio
	Limit   string  `json:"limit,omitempty"`  // at most, at least; none: the figure is only shown
	Target  float64 `json:"target,omitempty"` // what must be reached
	Aim     float64 `json:"aim,omitempty"`    // what would be better still
	Reached bool    `json:"reached"`
}

// Limits of goals.
const (
	AtMost  = "at most"
	AtLeast = "at least"
)

// Reader states and kinds of re-runs that goals compare.
const (
	StateIdle      = "idle"
	StateRun       = "a run, every value new"
	StateUnchanged = "a run, nothing changed"
	StatePipelines = "plain pipelines of 1,000"

	KindCold      = "cold"
	KindUnchanged = "unchanged"
	KindChanged   = "changed"
)

// Parts that goals name.
const (
	Products = "products"
	Accounts = "accounts"
	Changes  = "changes"
)

const mebibyte = 1 << 20

// Memories that goals compare: after the run, and after one more of the same.
const (
	MemorySmall      = "small result"
	MemoryLarge      = "large result"
	MemorySmallAgain = "small result, again"
	MemoryLargeAgain = "large result, again"
	MemoryRerun      = "products, re-runs"
)

// Conclude derives the goals from what was measured. What was not measured has
// no goal.
func (r *Report) Conclude() {
	r.Goals = nil
	r.Others = r.disturbance()
	for _, part := range r.parts() {
		r.throughput(part)
	}
	r.latency()
	r.reruns()
	r.memory()
	r.scopes()
	r.lost()
	r.killed()
	r.foreground()
	r.traced()
	r.changes()
	r.builds()
}

// disturbance is the share of the machine that others had while contenders ran.
func (r *Report) disturbance() float64 {
	var used, had Seconds
	for _, s := range r.Samples {
		used, had = used+s.Others, had+s.Wall*Seconds(r.Machine.Cores)
	}
	if had == 0 {
		return 0
	}
	return float64(used / had)
}

// throughput compares medians. The accounts are narrow and shown beside: the
// targets are for the products.
func (r *Report) throughput(part string) {
	target := func(limit string, target, aim float64) Goal {
		if part != Products {
			return Goal{}
		}
		return Goal{Limit: limit, Target: target, Aim: aim}
	}
	walls := func(a, b Contender, g Goal) {
		r.goal(g, part+": wall "+string(a)+" / "+string(b), over(r.median(part, a, wall), r.median(part, b, wall)))
	}
	walls(Ours, Ingest, target(AtMost, 1.3, 1.15))
	walls(Psql, Ours, target(AtLeast, 2, 2.3))
	walls(Plain, Ours, target(AtLeast, 25, 0))
	walls(Pipelined, Ours, Goal{})
	walls(Ours, Read, Goal{})
	r.goal(target(AtMost, 1.15, 0), part+": backend CPU a / f",
		over(r.median(part, Ours, backend), r.median(part, Read, backend)))
	for _, c := range []Contender{Pipelined, Ingest} {
		r.goal(Goal{}, part+": Redis CPU per key a / "+string(c),
			over(r.median(part, Ours, redisPerKey), r.median(part, c, redisPerKey)))
	}
}

func redisPerKey(s Sample) Seconds { return s.Redis / Seconds(max(s.Keys, 1)) }

func (r *Report) latency() {
	_, of := r.latencies()
	ratio := func(state string) float64 { return over(middle(of[state], p99), middle(of[StateIdle], p99)) }
	r.goal(Goal{Limit: AtMost, Target: 4, Aim: 2}, "reader: p99 in a run / idle", ratio(StateRun))
	r.goal(Goal{}, "reader: p99 in an unchanged run / idle", ratio(StateUnchanged))
	r.goal(Goal{}, "reader: p99 in plain pipelines / idle", ratio(StatePipelines))
}

// reruns compares times without a replica, whose work would be counted as ours,
// and bytes with one.
func (r *Report) reruns() {
	walls, sent := map[string][]Seconds{}, map[string][]Seconds{}
	for _, s := range r.Reruns {
		if s.Replica {
			sent[s.Kind] = append(sent[s.Kind], Seconds(s.Replication))
		} else {
			walls[s.Kind] = append(walls[s.Kind], s.Wall)
		}
	}
	ratio := func(of map[string][]Seconds, kind string) float64 {
		return over(Median(of[kind]), Median(of[KindCold]))
	}
	r.goal(Goal{Limit: AtMost, Target: 0.6}, "re-run, 1 % changed: wall / cold", ratio(walls, KindChanged))
	r.goal(Goal{}, "re-run, unchanged: wall / cold", ratio(walls, KindUnchanged))
	r.goal(Goal{Unit: "%", Limit: AtMost, Target: 10}, "re-run, 1 % changed: replication bytes / cold",
		100*ratio(sent, KindChanged))
	r.goal(Goal{Unit: "%"}, "re-run, unchanged: replication bytes / cold", 100*ratio(sent, KindUnchanged))
}

func (r *Report) memory() {
	peak := map[string]float64{}
	for _, m := range r.Memory {
		peak[m.What] = float64(m.Peak) / mebibyte
		g := Goal{Unit: "MiB", Limit: AtMost, Target: 96, Aim: 64}
		r.goal(g, "peak memory: "+m.What, peak[m.What])
	}
	small, large := peak[MemorySmall], peak[MemoryLarge]
	apart := 100 * (over(max(small, large), min(small, large)) - 1)
	r.goal(Goal{Unit: "%", Limit: AtMost, Target: 15}, "peak memory: small and large result apart", apart)
}

// scopes holds invalidations of a tenth of a million keys to what a user would wait for.
func (r *Report) scopes() {
	walls, old, left := map[bool][]Seconds{}, 0.0, 0.0
	for _, s := range r.Scopes {
		walls[s.Fresh] = append(walls[s.Fresh], 1000*s.Wall)
		old, left = old+float64(s.Old), max(left, float64(s.Left))
	}
	if len(r.Scopes) == 0 {
		return
	}
	keys := count(r.Scopes[0].Keys)
	r.goal(Goal{Unit: "ms", Limit: AtMost, Target: 300}, "scopes: "+keys+" keys fenced", float64(Median(walls[false])))
	r.goal(Goal{Unit: "ms", Limit: AtMost, Target: 1500}, "scopes: "+keys+" keys fresh", float64(Median(walls[true])))
	r.goal(Goal{Limit: AtMost}, "scopes: values that were old all the same", old)
	r.goal(Goal{Limit: AtMost}, "scopes: keys left in Redis", left)
}

// lost holds the recovery of an empty cache to what a failover may take.
func (r *Report) lost() {
	for _, cause := range []string{LostByFlush, LostByRestart} {
		var walls []Seconds
		var keys int64
		for _, l := range r.Lost {
			if l.Cause == cause {
				walls, keys = append(walls, l.Wall), l.Keys
			}
		}
		if len(walls) > 0 {
			r.goal(Goal{Unit: "s", Limit: AtMost, Target: 3, Aim: 2}, "lost: "+count(keys)+" keys whole after a "+cause,
				float64(Median(walls)))
		}
	}
}

// killed holds what is sent after a kill at nine tenths to little more than what was left.
func (r *Report) killed() {
	var sent []float64
	for _, k := range r.Killed {
		sent = append(sent, 100*float64(k.Sent)/float64(k.Keys))
	}
	if len(sent) > 0 {
		r.goal(Goal{Unit: "%", Limit: AtMost, Target: 12}, "killed: keys sent after a kill at 90 %", Median(sent))
	}
}

// traced compares runs with traces exported with runs without.
func (r *Report) traced() {
	if len(r.Traced) == 0 {
		return
	}
	var walls, cpu []float64
	for _, t := range r.Traced {
		walls, cpu = append(walls, t.Wall), append(cpu, t.CPU)
	}
	r.goal(Goal{Limit: AtMost, Target: 1.02}, "traces: run exported / not", Median(walls))
	r.goal(Goal{}, "traces: CPU of the daemon exported / not", Median(cpu))
}

// goal adds a figure that is known.
func (r *Report) goal(g Goal, what string, value float64) {
	if math.IsNaN(value) {
		return
	}
	g.What, g.Value = what, value
	switch g.Limit {
	case AtMost:
		g.Reached = value <= g.Target
	case AtLeast:
		g.Reached = value >= g.Target
	}
	r.Goals = append(r.Goals, g)
}
