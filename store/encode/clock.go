package encode

import (
	"encoding/binary"
	"strconv"
)

// maxZone is the first offset that Postgres refuses, 16 hours, in seconds.
const maxZone = 16 * 3600

func appendTime(dst, raw []byte) ([]byte, error) {
	if len(raw) != 8 {
		return dst, wrongLength("time", 8, raw)
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	if micros < 0 || micros > microsPerDay { // 24:00:00 is a time
		return dst, malformed("time", "out of range")
	}
	dst = append(dst, '"')
	dst = appendClock(dst, uint64(micros))
	return append(dst, '"'), nil
}

// appendTimetz writes the time in the zone it was stored with. Unlike in a
// timestamptz, minutes and seconds of the offset are written only if there are
// any (EncodeTimezone).
func appendTimetz(dst, raw []byte) ([]byte, error) {
	if len(raw) != 12 {
		return dst, wrongLength("timetz", 12, raw)
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	zone := int64(int32(binary.BigEndian.Uint32(raw[8:]))) // seconds west of Greenwich
	if micros < 0 || micros > microsPerDay || zone <= -maxZone || zone >= maxZone {
		return dst, malformed("timetz", "out of range")
	}
	dst = append(dst, '"')
	dst = appendClock(dst, uint64(micros))
	if zone > 0 {
		dst = append(dst, '-')
	} else {
		dst, zone = append(dst, '+'), -zone
	}
	seconds := uint32(zone)
	dst = append2(dst, seconds/3600)
	if seconds%3600 != 0 {
		dst = append(dst, ':')
		dst = append2(dst, seconds/60%60)
	}
	if seconds%60 != 0 {
		dst = append(dst, ':')
		dst = append2(dst, seconds%60)
	}
	return append(dst, '"'), nil
}

// appendClock writes hh:mm:ss and the microseconds that are not zero; hours
// take as many digits as they need, at least two.
func appendClock(dst []byte, micros uint64) []byte {
	seconds := micros / microsPerSecond
	hours := seconds / 3600
	if hours < 100 {
		dst = append2(dst, uint32(hours))
	} else {
		dst = strconv.AppendUint(dst, hours, 10)
	}
	rest := uint32(seconds % 3600)
	dst = append(dst, ':')
	dst = append2(dst, rest/60)
	dst = append(dst, ':')
	dst = append2(dst, rest%60)
	return appendFraction(dst, uint32(micros%microsPerSecond))
}

// appendFraction writes the point and up to six digits, without trailing zeros
// (AppendSeconds).
func appendFraction(dst []byte, micros uint32) []byte {
	if micros == 0 {
		return dst
	}
	width := 6
	for micros%10 == 0 {
		micros /= 10
		width--
	}
	dst = append(dst, ".000000"[:1+width]...)
	for i := len(dst) - 1; micros > 0; i-- {
		dst[i] = '0' + byte(micros%10)
		micros /= 10
	}
	return dst
}
