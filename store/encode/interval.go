package encode

import (
	"encoding/binary"
	"math"
	"strconv"
)

// appendInterval follows EncodeInterval with intervalstyle=postgres: years,
// months, days and the time each with a sign of its own, parts of zero left out.
func appendInterval(dst, raw []byte) ([]byte, error) {
	if len(raw) != 16 {
		return dst, wrongLength("interval", 16, raw)
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	days := int32(binary.BigEndian.Uint32(raw[8:]))
	months := int32(binary.BigEndian.Uint32(raw[12:]))
	switch { // since Postgres 17
	case micros == math.MaxInt64 && days == math.MaxInt32 && months == math.MaxInt32:
		return append(dst, `"infinity"`...), nil
	case micros == math.MinInt64 && days == math.MinInt32 && months == math.MinInt32:
		return append(dst, `"-infinity"`...), nil
	}
	dst = append(dst, '"')
	w := intervalWriter{dst: dst, empty: true}
	w.part(months/12, "year")
	w.part(months%12, "mon")
	w.part(days, "day")
	if micros != 0 || w.empty {
		w.time(micros)
	}
	return append(w.dst, '"'), nil
}

// intervalWriter remembers what the next part's blank and sign depend on.
type intervalWriter struct {
	dst    []byte
	empty  bool // no part has been written
	before bool // the last part written was negative: a positive one needs its +
}

func (w *intervalWriter) part(value int32, unit string) {
	if value == 0 {
		return
	}
	if !w.empty {
		w.dst = append(w.dst, ' ')
	}
	if w.before && value > 0 {
		w.dst = append(w.dst, '+')
	}
	w.dst = strconv.AppendInt(w.dst, int64(value), 10)
	w.dst = append(w.dst, ' ')
	w.dst = append(w.dst, unit...)
	if value != 1 {
		w.dst = append(w.dst, 's')
	}
	w.empty, w.before = false, value < 0
}

func (w *intervalWriter) time(micros int64) {
	if !w.empty {
		w.dst = append(w.dst, ' ')
	}
	rest := uint64(micros)
	switch {
	case micros < 0:
		w.dst = append(w.dst, '-')
		rest = -rest
	case w.before:
		w.dst = append(w.dst, '+')
	}
	w.dst = appendClock(w.dst, rest)
}
