package store

// FeedStart is where a change feed begins to read.
type FeedStart struct {
	// Place names the feed and how it was set up. What is known of one place says
	// nothing of another.
	Place string
	// Position is what the feed has been told to be done, where Postgres keeps it.
	// Higher than what we have told says that somebody else has read from it.
	Position uint64
	// Fresh says that the feed begins now: what was committed before is not in it.
	Fresh bool
	// Durable says that what the feed is not told to be done comes again, also to
	// who opens it next.
	Durable bool
	// Origin is the history of Postgres that it is read from, as of a Snapshot.
	Origin string
}
