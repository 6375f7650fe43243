package encode

// dialect writes the parts of a binary format. Of text, bytes, lists and tables
// it writes the head alone, which says how many bytes, items or pairs follow.
type dialect interface {
	null(dst []byte) []byte
	boolean(dst []byte, v bool) []byte
	integer(dst []byte, v int64) []byte
	unsigned(dst []byte, v uint64) []byte
	float32(dst []byte, v float32) []byte
	float64(dst []byte, v float64) []byte
	text(dst []byte, n int) []byte
	bytes(dst []byte, n int) []byte
	list(dst []byte, n int) []byte
	table(dst []byte, n int) []byte
}

// prependHead ends dst with dst[at:] made of a head and a body. The head, whose length
// is known only once there is a body, was appended last, at dst[head]; the body is
// dst[from:to].
func prependHead(dst []byte, at, from, to, head int) []byte {
	var h [5]byte // the longest head of a length below 4 GiB
	size := copy(h[:], dst[head:])
	copy(dst[at+size:], dst[from:to])
	copy(dst[at:], h[:size])
	return dst[:at+size+to-from]
}
