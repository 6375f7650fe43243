// Package report is what the benchmark found out: every single measurement, the
// figures that follow from them, and the goals they are held against. It prints
// them as a table; as JSON they print themselves.
package report

import (
	"slices"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
)

// Report is one run of the benchmark.
type Report struct {
	Date     time.Time    `json:"date"`
	Stoker   string       `json:"stoker"` // version and commit of the measured binary
	Postgres string       `json:"postgres"`
	Redis    string       `json:"redis"`
	Go       string       `json:"go"`
	Machine  proc.Machine `json:"machine"`
	Scale    float64      `json:"scale"` // 1 is full size
	Rounds   int          `json:"rounds"`
	Took     Seconds      `json:"took_s"`
	Others   float64      `json:"others_share"` // of the processors' time while contenders ran: what disturbed them

	Data       []Data       `json:"data"`
	Samples    []Sample     `json:"samples"`
	Latency    []Latency    `json:"latency"`
	Reruns     []Rerun      `json:"reruns"`
	Memory     []Memory     `json:"memory"`
	Scopes     []Scope      `json:"scopes,omitempty"`
	Lost       []Lost       `json:"lost,omitempty"`
	Killed     []Killed     `json:"killed,omitempty"`
	Foreground []Foreground `json:"foreground,omitempty"`
	Traced     []Traced     `json:"traced,omitempty"`
	Lags       []Lag        `json:"lags"`
	Load       *Load        `json:"load,omitempty"`
	Writers    []Writer     `json:"writers"`
	Builds     []Build      `json:"builds,omitempty"`
	Goals      []Goal       `json:"goals"`
	Micro      *Micro       `json:"micro,omitempty"`
}

// Seconds is a duration; 0 where it is not known.
type Seconds float64

// In turns a duration into seconds.
func In(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Data is one table that is measured.
type Data struct {
	Part  string  `json:"part"`
	Rows  int64   `json:"rows"`
	Value float64 `json:"value_bytes"` // mean size of a value
	Key   string  `json:"key"`         // how a key looks
}

// Contender is one way to bring rows into Redis.
type Contender string

// The contenders, by the letters that ratios name them with.
const (
	Ours      Contender = "a"
	Ingest    Contender = "b"
	Psql      Contender = "c"
	Plain     Contender = "d"
	Pipelined Contender = "e"
	Read      Contender = "f"
)

var contenderNames = map[Contender]string{
	Ours:      "a run of the daemon, Asynq included",
	Ingest:    "redis-cli --pipe of a ready file",
	Psql:      "psql | redis-cli --pipe",
	Plain:     "a plain Go loop, a SET a row",
	Pipelined: "the same in pipelines of 1,000",
	Read:      "Postgres alone, rows thrown away",
}

// Sample is one measurement of one contender. CPU times are 0 where they are
// not known or none was used.
type Sample struct {
	Part      string    `json:"part"` // products, accounts
	Contender Contender `json:"contender"`
	Round     int       `json:"round"`
	Keys      int64     `json:"keys"`
	Wall      Seconds   `json:"wall_s"`
	Backend   Seconds   `json:"cpu_backend_s"` // of the Postgres backend that served it
	Redis     Seconds   `json:"cpu_redis_s"`
	Client    Seconds   `json:"cpu_client_s"` // of the daemon, the loop, or psql and redis-cli
	Others    Seconds   `json:"cpu_others_s"` // of everything else on the machine: what disturbed it
}

// Latency is how long GETs took while something went on, in one round.
type Latency struct {
	State  string  `json:"state"`
	Round  int     `json:"round"`
	Gets   int     `json:"gets"`
	P50    Seconds `json:"p50_s"`
	P99    Seconds `json:"p99_s"`
	P999   Seconds `json:"p999_s"`
	Max    Seconds `json:"max_s"`
	Others Seconds `json:"cpu_others_s"` // as in Sample
}

// Rerun is a run of the products and what it sent to the replica.
type Rerun struct {
	Round       int     `json:"round"`
	Kind        string  `json:"kind"` // cold, unchanged, changed
	Wall        Seconds `json:"wall_s"`
	Replica     bool    `json:"replica"`                     // one was attached; then Wall includes its work
	Replication int64   `json:"replication_bytes,omitempty"` // what was sent to it
}

// Scope is an invalidation by a column that is in no key.
type Scope struct {
	Round int     `json:"round"`
	Fresh bool    `json:"fresh"` // it ended when every value was as in the database; else when its keys were fenced
	Keys  int64   `json:"keys"`
	Wall  Seconds `json:"wall_s"`
	Old   int     `json:"old"`  // values that were not, of a hundred that were looked at
	Left  int64   `json:"left"` // keys that it has left in Redis, beside the cached ones and the book of fences
}

// Lost is a cache that has lost everything, and how long it took until every key was there again.
type Lost struct {
	Round int     `json:"round"`
	Cause string  `json:"cause"`
	Keys  int64   `json:"keys"`
	Wall  Seconds `json:"wall_s"` // until every key was there
	Run   Seconds `json:"run_s"`  // a run of the job after it, which finds all as it was
}

// Causes of a loss.
const (
	LostByFlush   = "flush"
	LostByRestart = "restart"
)

// Killed is a run whose daemon was killed, and the run that went on.
type Killed struct {
	Round int   `json:"round"`
	Keys  int64 `json:"keys"`  // of the result
	There int64 `json:"there"` // in Redis when the daemon was killed, with some of Stoker's own
	Sent  int64 `json:"sent"`  // by the next run
}

// Traced is what runs take whose traces are exported, in runs that make none: medians of pairs in one process.
type Traced struct {
	Round int     `json:"round"`
	Pairs int     `json:"pairs"`
	Wall  float64 `json:"wall_ratio"`
	CPU   float64 `json:"cpu_ratio"` // of the whole process, until the spans are exported
}

// Memory is the most that a daemon has had resident.
type Memory struct {
	What string `json:"what"`
	Rows int64  `json:"rows"`
	Peak int64  `json:"peak_bytes"`
}

// Micro is what the micro-benchmarks of this tree say against those of another
// commit.
type Micro struct {
	Base      string `json:"base"`
	Tree      string `json:"tree"`
	Benchstat string `json:"benchstat"`
}

// Empty reports whether nothing at all was measured.
func (r *Report) Empty() bool {
	return len(r.Samples)+len(r.Latency)+len(r.Reruns)+len(r.Memory)+len(r.Scopes)+len(r.Lost)+len(r.Killed)+
		len(r.Foreground)+len(r.Traced)+len(r.Lags)+len(r.Writers)+len(r.Builds) == 0 &&
		r.Load == nil &&
		r.Micro == nil
}

// of returns the samples of one contender in one part.
func (r *Report) of(part string, c Contender) []Sample {
	var list []Sample
	for _, s := range r.Samples {
		if s.Part == part && s.Contender == c {
			list = append(list, s)
		}
	}
	return list
}

// median is over all rounds of one contender; 0 if it was not measured.
func (r *Report) median(part string, c Contender, of func(Sample) Seconds) Seconds {
	var list []Seconds
	for _, s := range r.of(part, c) {
		list = append(list, of(s))
	}
	return Median(list)
}

// parts lists the parts that have samples, in the order they were measured.
func (r *Report) parts() []string {
	var list []string
	for _, s := range r.Samples {
		if !slices.Contains(list, s.Part) {
			list = append(list, s.Part)
		}
	}
	return list
}

// latencies groups what the reader saw by state, in the order it was seen.
func (r *Report) latencies() (states []string, of map[string][]Latency) {
	of = map[string][]Latency{}
	for _, l := range r.Latency {
		if of[l.State] == nil {
			states = append(states, l.State)
		}
		of[l.State] = append(of[l.State], l)
	}
	return states, of
}

// middle is the median of one figure over rounds.
func middle(list []Latency, of func(Latency) Seconds) Seconds {
	var all []Seconds
	for _, l := range list {
		all = append(all, of(l))
	}
	return Median(all)
}

func p99(l Latency) Seconds { return l.P99 }

func wall(s Sample) Seconds    { return s.Wall }
func backend(s Sample) Seconds { return s.Backend }
func redis(s Sample) Seconds   { return s.Redis }
func client(s Sample) Seconds  { return s.Client }
func others(s Sample) Seconds  { return s.Others }
