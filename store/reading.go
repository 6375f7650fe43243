package store

import "time"

// Reading is the rows of one snapshot. It is valid inside the function that
// receives it.
type Reading struct {
	Begun    time.Time // when the database was asked, by our clock
	Snapshot Snapshot  // of the transaction
	Columns  []Column  // of each row
	Keys     []int     // the columns that fill the job's key template, by its order
	Given    []Row     // of a refresh: the asked keys' columns, as Postgres reads the given values
	Rows     Rows
}
