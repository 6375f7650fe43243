package encode

import (
	"bytes"
	"encoding/hex"
	"hash"
	"slices"

	"golang.org/x/crypto/blake2b"
)

// The parts of an envelope, around the text of the JSON and the digest. There is no blank in it: what the SDK itself
// writes has some, so that a value that it wrote over ours differs even where its JSON is the same.
const (
	envelopeOpen = `{"body":"`
	envelopeETag = `","etag":"W/\"`
	envelopeEnd  = `\""}`
)

// digestSize is that of the SDK's digest: BLAKE2b of 128 bits.
const digestSize = 16

// longerBy says by how many bytes a byte is longer in a JSON string.
var longerBy = func() (t [256]uint8) {
	for c := range t {
		if escaped[c] {
			t[c] = uint8(len(appendEscape(nil, byte(c))) - 1)
		}
	}
	return t
}()

// Envelope puts JSON into the envelope that Redis' SDK for FastAPI (fastapi-redis-sdk) reads: an object of the JSON as
// a text, and of a weak ETag made of its bytes. It is used by one goroutine.
type Envelope struct {
	hash hash.Hash
	sum  [digestSize]byte
}

// NewEnvelope returns an Envelope.
func NewEnvelope() *Envelope {
	h, err := blake2b.New(digestSize, nil)
	if err != nil {
		panic(err) // of a size or key that is too long
	}
	return &Envelope{hash: h}
}

// Wrap puts the JSON that is dst[at:] into an envelope, in its place. Nothing is allocated when dst has room: the text
// is spread out from its end, each byte is moved once.
func (e *Envelope) Wrap(dst []byte, at int) []byte {
	body := len(dst) - at
	e.hash.Reset()
	e.hash.Write(dst[at:]) // never fails
	digest := e.hash.Sum(e.sum[:0])
	more := 0
	for _, c := range dst[at:] {
		more += int(longerBy[c])
	}
	text := at + len(envelopeOpen)
	end := text + body + more
	dst = slices.Grow(dst, end-len(dst)+len(envelopeETag)+hex.EncodedLen(digestSize)+len(envelopeEnd))[:end]
	spread(dst[at:], body, len(envelopeOpen), more)
	copy(dst[at:], envelopeOpen)
	dst = append(dst, envelopeETag...)
	dst = hex.AppendEncode(dst, digest)
	return append(dst, envelopeEnd...)
}

// spread escapes the text b[:n], which gets longer by more, and moves it by some bytes.
func spread(b []byte, n, by, more int) {
	to := n + by + more
	for more > 0 {
		n--
		c := b[n]
		longer := int(longerBy[c])
		to -= 1 + longer
		if longer == 0 {
			b[to] = c
			continue
		}
		more -= longer
		appendEscape(b[to:to], c) // it has the room
	}
	copy(b[by:], b[:n])
}

// Unwrap returns the JSON in an envelope; ok is false for every other text than Wrap makes.
func Unwrap(value []byte) (body []byte, ok bool) {
	const tail = len(envelopeETag) + 2*digestSize + len(envelopeEnd)
	if len(value) < len(envelopeOpen)+tail {
		return nil, false
	}
	quoted := value[len(envelopeOpen)-1 : len(value)-tail+1]
	if quoted[0] != '"' {
		return nil, false
	}
	body, problem := unescape(nil, quoted, false)
	if problem != "" || !bytes.Equal(NewEnvelope().Wrap(slices.Clone(body), 0), value) {
		return nil, false
	}
	return body, true
}
