package jobs

import "time"

// Spec is the whole stoker.yaml, parsed and validated.
type Spec struct {
	File     string // as it was given to Load
	Postgres Postgres
	Redis    Redis
	Admin    Admin
	Changes  Changes
	Jobs     []*Job   // in the order of the file
	Warnings Problems // what check prints; nothing that stops the daemon
}

// Job returns the job of that name.
func (s *Spec) Job(name string) (*Job, bool) {
	for _, j := range s.Jobs {
		if j.Name == name {
			return j, true
		}
	}
	return nil, false
}

// Postgres says where the rows come from.
type Postgres struct {
	URL              Secret
	MaxConnections   int           // ceiling on what Stoker asks of the database at once; default 8
	StatementTimeout time.Duration // default 60s
}

// Redis says where values go and where Asynq lives.
type Redis struct {
	URL      Secret
	QueueURL Secret // equal to URL when the spec names none
}

// Admin is the listener of the status page, the API, metrics and the dashboard.
type Admin struct {
	Listen      string // host:port; default 127.0.0.1:8080
	Token       Secret // demanded of every request that is not a probe, when set
	QueuesWrite bool   // queues: read-write lets the Asynq dashboard change things
}

// Source names where row changes are read from.
type Source string

// The sources of changes.
const (
	SourceNone   Source = "none"
	SourceWAL    Source = "wal"
	SourceOutbox Source = "outbox"
)

// Changes is the change feed.
type Changes struct {
	Source Source
}

// ValueKind says how rows become values.
type ValueKind string

// The kinds of value.
const (
	ValueRow    ValueKind = "row"    // one key a row: a JSON object
	ValueRows   ValueKind = "rows"   // all rows of a key: a JSON array of objects
	ValueScalar ValueKind = "scalar" // one key a row: the JSON of the one column that is not a key column
)

// Job is one hot query that is kept warm.
type Job struct {
	Name          string
	Query         string // as written, or the text of query_file; without what follows its last token: semicolons, comments
	Key           *KeyTemplate
	Value         ValueKind     // default row
	Schedule      *Schedule     // nil: runs on demand only
	TTL           time.Duration // of a value; the true TTL is shortened by up to Jitter
	Jitter        float64       // 0 to 1, a share of TTL
	Timeout       time.Duration // of a whole run
	MaxValueBytes int           // a larger value is not written; default 16 MiB
	Watch         []Watch
}

// Watch names a table whose changes make keys of the job out of date.
type Watch struct {
	Table  string
	Key    map[string]string // key column: table column
	Column string            // with Keys: the column whose values fill $1
	Keys   string            // a query from those values to key columns
}
