package encode

import (
	"fmt"

	"github.com/stokerhq/stoker/store"
)

// Hash encodes rows as the fields of Redis hashes. It is safe for concurrent use.
type Hash struct {
	fields []field
}

// NewHash prepares the encoding of rows with these columns. Its errors are those
// of NewObject.
func NewHash(cols []store.Column) (*Hash, error) {
	h := &Hash{fields: make([]field, len(cols))}
	for i, col := range cols {
		value, err := Text.forColumn(col)
		if err != nil {
			return nil, err
		}
		h.fields[i] = field{name: col.Name, key: packText(msgpack{}, nil, []byte(col.Name)), value: value}
	}
	return h, nil
}

// AppendRow appends one msgpack array of strings, which a script of Redis can
// unpack: name, text, name, text. The texts are as KeyText has them; a column
// that is NULL is left out, and of columns with one name the last has the field.
// An error names the column; dst is then returned as it was. Nothing is allocated
// when dst has room.
func (h *Hash) AppendRow(dst []byte, row store.Row) ([]byte, error) {
	if len(row) != len(h.fields) {
		return dst, fmt.Errorf("row has %d cells, not %d", len(row), len(h.fields))
	}
	present := 0
	for _, raw := range row {
		if raw != nil {
			present++
		}
	}
	start := len(dst)
	dst = msgpack{}.list(dst, 2*present)
	for i := range h.fields {
		f := &h.fields[i]
		raw := row[i]
		if raw == nil {
			continue
		}
		dst = append(dst, f.key...)
		at := len(dst)
		var err error
		if dst, err = f.value(dst, raw); err != nil {
			return dst[:start], &columnError{column: f.name, err: err}
		}
		end := len(dst)
		dst = prependHead(msgpack{}.text(dst, end-at), at, at, end, end)
	}
	return dst, nil
}
