package encode

import (
	"encoding/binary"
	"math"
	"strconv"
)

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond

	// The ends of Postgres' calendar, counted from 2000-01-01: 4714-11-24 BC,
	// and the first day after 5874897-12-31 (date) or microsecond after the
	// year 294276 (timestamp).
	minDate      = -2451545
	endDate      = 2147483494 + minDate
	minTimestamp = -211813488000000000
	endTimestamp = 9223371331200000000
)

// appendDate, appendTimestamp and appendTimestamptz follow JsonEncodeDateTime:
// ISO 8601 with a T, whatever the session's datestyle.
func appendDate(dst, raw []byte) ([]byte, error) {
	if len(raw) != 4 {
		return dst, wrongLength("date", 4, raw)
	}
	days := int32(binary.BigEndian.Uint32(raw))
	switch {
	case days == math.MaxInt32:
		return append(dst, `"infinity"`...), nil
	case days == math.MinInt32:
		return append(dst, `"-infinity"`...), nil
	case days < minDate || days >= endDate:
		return dst, malformed("date", "out of range")
	}
	year, month, day := civil(int64(days))
	dst = append(dst, '"')
	dst = appendYMD(dst, year, month, day)
	return appendEra(dst, year), nil
}

func appendTimestamp(dst, raw []byte) ([]byte, error) {
	return appendMoment(dst, raw, "timestamp", "")
}

// appendTimestamptz writes the instant in UTC, which JSON spells +00:00.
func appendTimestamptz(dst, raw []byte) ([]byte, error) {
	return appendMoment(dst, raw, "timestamptz", "+00:00")
}

func appendMoment(dst, raw []byte, typ, offset string) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength(typ, 8, raw)
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	switch {
	case micros == math.MaxInt64:
		return append(dst, `"infinity"`...), nil
	case micros == math.MinInt64:
		return append(dst, `"-infinity"`...), nil
	case micros < minTimestamp || micros >= endTimestamp:
		return dst, malformed(typ, "out of range")
	}
	days, clock := micros/microsPerDay, micros%microsPerDay
	if clock < 0 {
		days, clock = days-1, clock+microsPerDay
	}
	year, month, day := civil(days)
	dst = append(dst, '"')
	dst = appendYMD(dst, year, month, day)
	dst = append(dst, 'T')
	dst = appendClock(dst, uint64(clock))
	dst = append(dst, offset...)
	return appendEra(dst, year), nil
}

// civil converts days since 2000-01-01 to the proleptic Gregorian calendar with
// astronomical years (0 is 1 BC), by Howard Hinnant's days-to-civil algorithm.
func civil(days int64) (year, month, day int64) {
	const (
		daysPerEra = 146_097 // 400 years
		marchZero  = 730_425 // days from 0000-03-01 to 2000-01-01
	)
	z := days + marchZero
	era := z / daysPerEra
	if z < 0 {
		era = (z - daysPerEra + 1) / daysPerEra
	}
	doe := z - era*daysPerEra
	yoe := (doe - doe/1460 + doe/36_524 - doe/146_096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153 // months since March
	day = doy - (153*mp+2)/5 + 1
	year = yoe + era*400
	if mp < 10 {
		return year, mp + 3, day
	}
	return year + 1, mp - 9, day
}

// appendYMD pads the year to four digits and lets it grow beyond.
func appendYMD(dst []byte, year, month, day int64) []byte {
	if year <= 0 {
		year = 1 - year
	}
	if year < 10_000 {
		dst = append4(dst, uint32(year))
	} else {
		dst = strconv.AppendInt(dst, year, 10)
	}
	dst = append(dst, '-')
	dst = append2(dst, uint32(month))
	dst = append(dst, '-')
	return append2(dst, uint32(day))
}

// appendEra closes the string; years before 1 end in BC.
func appendEra(dst []byte, year int64) []byte {
	if year <= 0 {
		return append(dst, ` BC"`...)
	}
	return append(dst, '"')
}
