package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/encode"
)

// fingerprint stands for a value: two that are the same to a reader have one. The zero
// fingerprint stands for no value.
type fingerprint [16]byte

func (f fingerprint) there() bool { return f != fingerprint{} }

// Fingerprints that no value has.
var (
	someValue  = fingerprint{1} // of a job whose values are not compared
	otherValue = fingerprint{2} // of another Redis type
)

// fingerprinter makes them of the values of one job.
type fingerprinter struct{ job *jobs.Job }

// made is the face of a value as a run makes it, before it is compressed. A hash
// without fields is no value.
func (f fingerprinter) made(value []byte) (fingerprint, error) {
	switch f.job.Type {
	case jobs.TypeZSet:
		scores, err := encode.ReadRanking(value)
		return f.ranking(scores), err
	case jobs.TypeHash:
	default:
		return f.text(value), nil
	}
	var list []string
	if err := msgpack.Unmarshal(value, &list); err != nil {
		return fingerprint{}, fmt.Errorf("read a hash that was made: %w", err)
	}
	hash := make(map[string]string, len(list)/2)
	for pair := range slices.Chunk(list, 2) {
		hash[pair[0]] = pair[1]
	}
	return f.hash(hash), nil
}

// found is the face of what Redis has.
func (f fingerprinter) found(s cache.Seen) fingerprint {
	switch {
	case !s.There():
		return fingerprint{}
	case s.Other:
		return otherValue
	case s.Hash != nil:
		return f.hash(s.Hash)
	case s.ZSet != nil:
		return f.ranking(s.ZSet)
	}
	return f.text(f.plain(s.Text))
}

// noTTL is what Redis says of a key that never expires. -2 is a key that has expired since its value was read.
const noTTL = -1

// foreign reports whether Redis has what Stoker does not write of the job: somebody else wrote it, whatever it says.
func (f fingerprinter) foreign(s cache.Seen) bool {
	if !s.There() {
		return false
	}
	if s.Other || s.TTL == noTTL || s.TTL > max(f.job.TTL, f.job.StaleGrace) {
		return true
	}
	if f.job.Format != jobs.FormatFastAPIRedis {
		return false
	}
	_, ours := encode.Unwrap(s.Text)
	return !ours
}

// plain is a value that Redis has, decompressed. One that cannot be is itself: it
// is not what it should be.
func (f fingerprinter) plain(value []byte) []byte {
	if f.job.Compress == jobs.CompressNone {
		return value
	}
	plain, err := encode.Decompress(value, f.job.MaxValueBytes)
	if err != nil {
		return value
	}
	return plain
}

// text is the face of a string value. The order of the rows in a value is left
// out of it: a query need not say in which order it gives those that it takes for
// equal, and a refresh may be given another than a run.
func (f fingerprinter) text(value []byte) fingerprint {
	if f.job.Volatile {
		return someValue
	}
	if f.job.Value != jobs.ValueRows {
		return sum(value)
	}
	format, list := encode.Format(f.job.Format), value
	if f.job.Format == jobs.FormatFastAPIRedis {
		format = encode.JSON
		list, _ = encode.Unwrap(value) // an envelope that is not as it should be has no list
	}
	rows, err := format.Elements(list)
	if err != nil {
		return sum(value) // another program's
	}
	slices.SortFunc(rows, bytes.Compare)
	return sum(rows...)
}

func (f fingerprinter) hash(hash map[string]string) fingerprint {
	if len(hash) == 0 {
		return fingerprint{}
	}
	if f.job.Volatile {
		return someValue
	}
	var parts [][]byte
	for _, name := range slices.Sorted(maps.Keys(hash)) {
		parts = append(parts, []byte(name), []byte(hash[name]))
	}
	return sum(parts...)
}

// ranking is the face of a sorted set. A score that is equal is the same, however it was printed.
func (f fingerprinter) ranking(scores map[string]float64) fingerprint {
	hash := make(map[string]string, len(scores))
	for member, score := range scores {
		hash[member] = strconv.FormatFloat(score+0, 'g', -1, 64) // -0 is 0
	}
	return f.hash(hash)
}

// sum is half of a SHA-256: the face of parts in their order.
func sum(parts ...[]byte) (f fingerprint) {
	h := sha256.New()
	var size [8]byte
	for _, p := range parts {
		h.Write(binary.LittleEndian.AppendUint64(size[:0], uint64(len(p))))
		h.Write(p)
	}
	copy(f[:], h.Sum(nil))
	return f
}
