package jobs

import (
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs/budget"
)

// Spec is the whole stoker.yaml, parsed and validated.
type Spec struct {
	File      string    // as it was given to Load
	Namespace Namespace // of what is kept in Redis beside the cached keys
	Postgres  Postgres
	Redis     Redis
	Admin     Admin
	Changes   Changes
	Audit     Audit
	Notify    []Notify // in the order of the file
	Jobs      []*Job   // in the order of the file
	Warnings  Problems // what check prints; nothing that stops the daemon
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

// Has reports whether there is a job of that name.
func (s *Spec) Has(name string) bool {
	_, ok := s.Job(name)
	return ok
}

// Watched are the names of the tables that jobs watch, each once.
func (s *Spec) Watched() (tables []string) {
	for _, j := range s.Jobs {
		for _, w := range j.Watch {
			if !slices.Contains(tables, w.Table) {
				tables = append(tables, w.Table)
			}
		}
	}
	return tables
}

// Postgres says where the rows come from.
type Postgres struct {
	URL              Secret // complete, with the password of a file
	Access           Access
	MaxConnections   int           // ceiling on what Stoker asks of the database at once; default 8
	StatementTimeout time.Duration // default 60s
	Budget           budget.Budget // of runs
}

// Redis says where values go and where Asynq lives.
type Redis struct {
	URL         Secret // complete, with the passwords of files
	Access      Access
	QueueURL    Secret  // equal to URL when the spec names none
	QueueAccess Access  // equal to Access then
	Headroom    float64 // 0 to 0.9: the share of maxmemory that runs leave free; default 0.1
}

// Free is how many bytes of a server's maxmemory runs leave free.
func (r Redis) Free(maxmemory int64) int64 { return int64(float64(maxmemory) * r.Headroom) }

// Endpoint is the database that queries read.
func (p Postgres) Endpoint() Endpoint {
	return Endpoint{Field: "postgres", URL: p.URL, Access: p.Access}
}

// Cache is the Redis that API nodes read.
func (r Redis) Cache() Endpoint { return Endpoint{Field: "redis", URL: r.URL, Access: r.Access} }

// Queue is the Redis of the tasks: the cache's where the spec names no other.
func (r Redis) Queue() Endpoint {
	field := "redis.queue"
	if r.Shared() {
		field = "redis"
	}
	return Endpoint{Field: field, URL: r.QueueURL, Access: r.QueueAccess}
}

// Shared reports whether cache and queue are one Redis, with one user.
func (r Redis) Shared() bool { return r.QueueURL.Equal(r.URL) && r.QueueAccess == r.Access }

// Admin is the listener of the status page, the API, metrics and the dashboard.
type Admin struct {
	Listen      string // host:port; default 127.0.0.1:8080
	Token       Secret // demanded of every request that is not a probe, when set
	QueuesWrite bool   // queues: read-write lets the Asynq dashboard change things
	BasePath    string // the path of an ingress that the pages are behind, as /stoker; "" at the root
}

// Source names where row changes are read from.
type Source string

// The sources of changes.
const (
	SourceNone   Source = "none"
	SourceWAL    Source = "wal"
	SourceOutbox Source = "outbox"
)

// Slot says how a change feed from the WAL holds its place.
type Slot string

// The kinds of slot.
const (
	SlotTemporary Slot = "temporary" // gone with the connection; what was missed meanwhile is made up by runs
	SlotPermanent Slot = "permanent" // Postgres keeps the WAL until it has been read
)

// Changes is the change feed.
type Changes struct {
	Source       Source
	URL          Secret // of a direct connection for replication; equal to that of Postgres when the spec names none
	Access       Access // equal to that of Postgres then
	Slot         Slot   // default temporary
	Name         string // of the publication, and of a permanent slot; default stoker, or stoker_<namespace>
	UnboundedWAL bool   // a permanent slot may keep WAL without limit
	RunAbove     int    // changes that touch more keys of a job than this run the job instead; default 10000
	Concurrency  int    // refreshes at a time that changes ask for, of all jobs; default 4
}

// Endpoint is the database for the replication connection.
func (c Changes) Endpoint() Endpoint { return Endpoint{Field: "changes", URL: c.URL, Access: c.Access} }

// Audit is the continuous comparison of the cache with the database.
type Audit struct {
	Rate float64 // keys a second; 0: none
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
	Name string
	// as written, or the text of query_file; semicolons at its end are blanks, its comments are kept
	Query         string
	Key           *KeyTemplate
	Value         ValueKind     // default row
	Schedule      *Schedule     // nil: runs on demand only
	TTL           time.Duration // of a value; the true TTL is shortened by up to Jitter
	Jitter        float64       // 0 to 1, a share of TTL
	Timeout       time.Duration // of a whole run
	MaxRate       int           // rows a second that a run reads at most; 0: no limit
	Evictable     bool          // other keys may be evicted for its values: redis.headroom does not hold for it
	Priority      int           // default 0: where many jobs are to be run, those of a higher one are first
	MaxValueBytes int           // a larger value is not written; default 16 MiB
	StaleGrace    time.Duration // how long a value stays readable after its fence; 0 removes it at once; default 30s
	// the query reads time, random values or foreign data: it is run even if no commit was made
	Volatile      bool
	Role          string      // that the query runs as, by SET ROLE; "": the session's
	Steady        bool        // volatile: false was written: the query reads nothing else, whatever it looks like
	Rewrite       Rewrite     // default changed
	ShrinkGuard   float64     // 0 to 1: a result that lost more than this share of its keys removes none; default 0.5
	Type          Type        // default string
	Format        Format      // default json
	Omit          []string    // columns that stand in no value: they only make the key
	Compress      Compression // default none
	CompressAbove int         // bytes: smaller values are not compressed; default 1 KiB
	Watch         []Watch
	Unwatched     []Unwatched // tables that the query reads and no watch needs to name
	Objective     *Objective  // nil: none is set
}

// Rewrite says which values a run sends.
type Rewrite string

// What a run sends.
const (
	RewriteChanged Rewrite = "changed" // those that are not in Redis as they should be
	RewriteAlways  Rewrite = "always"  // every one
)

// Type is the Redis type of a value.
type Type string

// The Redis types.
const (
	TypeString Type = "string"
	TypeHash   Type = "hash" // of value: row; a field a column
	TypeZSet   Type = "zset" // of value: rows; a sorted set of the columns member and score
)

// Format is how a string value is written.
type Format string

// The formats.
const (
	FormatJSON    Format = "json"
	FormatMsgpack Format = "msgpack"
	FormatCBOR    Format = "cbor"
	FormatText    Format = "text" // of value: scalar; the column's text without quotes
	// JSON in the envelope that Redis' SDK for FastAPI reads
	FormatFastAPIRedis Format = "fastapi-redis"
)

// Compression is what is done to large values.
type Compression string

// The compressions.
const (
	CompressNone Compression = "none"
	CompressGzip Compression = "gzip"
	CompressZstd Compression = "zstd"
)

// Watch names a table whose changes make keys of the job out of date.
type Watch struct {
	Table  string
	Key    map[string]string // key column: table column
	Column string            // with Keys: the column whose values fill $1
	Keys   string            // a query from those values to key columns
	// the keys that a row names are refreshed although the values of others may depend on it too
	Partial bool
	// why a change runs the job although the entry names keys; "": it refreshes these keys. The feed's check fills it
	// in.
	Whole string
}

// Unwatched names a table that the job's query reads and whose changes may go unnoticed until the next run.
type Unwatched struct {
	Table     string
	Line, Col int // where it stands in the spec
}
