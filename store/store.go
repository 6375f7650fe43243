// Package store holds the value types that travel between the two databases,
// and what their errors mean. It imports nothing of ours: store/postgres fills
// these types, store/encode turns them into bytes, store/cache writes them.
package store

import (
	"iter"
	"time"
)

// Column is one column of a job's result, as Postgres describes it.
type Column struct {
	Name string
	OID  uint32 // type of the bytes on the wire; a domain shows its base type
	Type string // SQL name with modifiers, as format_type prints it: "numeric(10,2)"
}

// Row is one result row: a cell a column, in Postgres' binary wire format, nil
// for NULL. The cells belong to the reader and are valid until the next row.
type Row [][]byte

// Rows streams the rows of one snapshot. It yields (row, nil) until done; on
// failure it yields (nil, err) once, last. It holds a database connection while
// it is consumed, so the consumer must not block on Redis for each row.
type Rows = iter.Seq2[Row, error]

// Entry is one key with its encoded value and TTL on the way to Redis.
type Entry struct {
	Key   []byte
	Value []byte
	TTL   time.Duration

	Op     Op
	Extend bool // with Keep: its TTL is set anew
}

// Op is what is to be done with an entry.
type Op uint8

// What is done with entries.
const (
	Write  Op = iota // its value is sent
	Keep             // its value should be there already: it is sent only if it is gone
	Remove           // its key is removed
)

// Size is what the entry asks of the network, in bytes.
func (e Entry) Size() int { return len(e.Key) + len(e.Value) }

// Reading is the rows of one snapshot. It is valid inside the function that
// receives it.
type Reading struct {
	Begun    time.Time // when the database was asked, by our clock
	Snapshot Snapshot  // of the transaction
	Columns  []Column  // of each row
	Keys     []int     // the columns that fill the job's key template, by its order
	// Of a rows job: where a row has, for each of Keys, a hash that equal values share, by the column's own
	// equality; -1: their text is one. nil: so it is for all of Keys.
	Hashes []int
	Given  []Row // of a refresh: the asked keys' columns, as Postgres reads the given values
	Rows   Rows
}
