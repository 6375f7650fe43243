package feed

// Slot is the state of a replication slot.
type Slot struct {
	Exists   bool
	Active   int    // process that reads from it; 0: none
	Status   string // wal_status: reserved, extended, unreserved, lost
	Lag      int64  // bytes of WAL that are kept because they are not read
	Safe     int64  // bytes that may be written before the slot is in danger; -1: no limit
	Position uint64 // up to which everything was acknowledged
	Database string
}
