package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kept returns which of a query's columns stand in a value, by their names in the order of the query: all but those
// that omit names. The error is for who wrote the spec.
func (j *Job) Kept(columns []string) (kept []int, err error) {
	for _, name := range j.Omit {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("omit names column %s, which the query does not return; it returns: %s", name,
				strings.Join(columns, ", "))
		}
	}
	if j.Type == TypeZSet {
		return j.ranking(columns)
	}
	for i, name := range columns {
		if !slices.Contains(j.Omit, name) {
			kept = append(kept, i)
		}
	}
	if len(kept) == 0 && len(columns) > 0 {
		return nil, errors.New("omit leaves no column for the value: take one off it, or select one more")
	}
	return kept, nil
}

// ranking returns where member and score are, which are all that a sorted set can hold.
func (j *Job) ranking(columns []string) ([]int, error) {
	at := []int{slices.Index(columns, "member"), slices.Index(columns, "score")}
	for i, name := range columns {
		other := !slices.Contains(at, i) && !slices.Contains(j.Key.Columns(), name) && !slices.Contains(j.Omit, name)
		if other || slices.Contains(at, -1) {
			return nil, fmt.Errorf("type zset needs the columns member and score, and none beside them and the key's "+
				"(omit others); the query returns: %s", strings.Join(columns, ", "))
		}
	}
	return at, nil
}
