package store

import (
	"fmt"
	"strconv"
)

// Format is the number of the way in which this version writes what it keeps in Redis. It is raised when versions that
// know the number before must not write beside those that know the new one: not for each field that is added, which
// older versions leave alone.
//
//	1  has no number: all versions before namespaces
//	2  the same, with the number
const Format = 2

// FormatUnnumbered is that of what has keys and no number.
const FormatUnnumbered = 1

// FormatError says that Redis has a format that this version does not know.
type FormatError struct {
	Redis string // what the Redis is to Stoker
	Found string // what stands there
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("what a newer Stoker keeps in the redis of the %s has format %s, and this version knows "+
		"formats up to %d: nothing is written; run the newer version, or have it remove its keys with `stoker purge`",
		e.Redis, e.Found, Format)
}

// CheckFormat refuses a format that this version does not know. found is what stands in the Redis; "" if nothing does.
// old reports whether it is to be raised.
func CheckFormat(redis, found string) (old bool, err error) {
	if found == "" {
		return true, nil
	}
	n, err := strconv.Atoi(found)
	if err != nil || n > Format {
		return false, &FormatError{redis, found}
	}
	return n < Format, nil
}
