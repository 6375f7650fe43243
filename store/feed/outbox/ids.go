package outbox

import (
	"cmp"
	"slices"
	"strconv"
)

// span is ids that follow each other, from one up to but not including another.
// Rows that are read and not done are many while a job's run takes long; but their
// ids are one sequence, with gaps where a transaction was rolled back or is open.
type span struct{ from, to int64 }

// spansOf returns ids as spans.
func spansOf(ids []int64) []span {
	spans := make([]span, len(ids))
	for i, id := range ids {
		spans[i] = span{id, id + 1}
	}
	return slices.Clip(join(spans))
}

// join sorts spans, and makes one of those that touch.
func join(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	n := 0
	for _, s := range spans {
		if n > 0 && s.from <= spans[n-1].to {
			spans[n-1].to = max(spans[n-1].to, s.to)
			continue
		}
		spans[n] = s
		n++
	}
	return spans[:n]
}

// multirange is spans as a Postgres int8multirange, for a text-format parameter.
func multirange(spans []span) []byte {
	b := []byte{'{'}
	for i, s := range spans {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, '['), s.from, 10)
		b = append(strconv.AppendInt(append(b, ','), s.to, 10), ')')
	}
	return append(b, '}')
}

// idArray is ids as a Postgres array, for a text-format parameter.
func idArray(ids []int64) []byte {
	b := []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return append(b, '}')
}
