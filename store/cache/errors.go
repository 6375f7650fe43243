package cache

import "errors"

// Why a run or a refresh may not go on writing what it read. After the first
// three it begins again: it arms, and reads a new snapshot.
var (
	ErrLost = errors.New("redis lost the book since the cache was armed (a flush, a restart, an eviction or " +
		"a failover)")
	ErrLate     = errors.New("the deadline that the cache was armed with is over")
	ErrNewEpoch = errors.New("an epoch has begun: the history of postgres has changed (a crash, a failover, a " +
		"restore, or another server), or changes may have been missed")
	ErrSuperseded = errors.New("a newer run of the job has begun to write")
)

// Again reports whether err says to begin again with a new snapshot.
func Again(err error) bool {
	return errors.Is(err, ErrLost) || errors.Is(err, ErrLate) || errors.Is(err, ErrNewEpoch)
}

// refusal reads what a script says before anything else.
func refusal(reply any) error {
	switch reply {
	case "LOST":
		return ErrLost
	case "LATE":
		return ErrLate
	case "SUPERSEDED":
		return ErrSuperseded
	}
	return nil
}
