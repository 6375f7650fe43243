package encode

import (
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/store"
)

// Object encodes rows as JSON objects, as row_to_json does, or as the maps of a
// binary format: all columns in order, names that come twice kept twice. It is
// safe for concurrent use.
type Object struct {
	fields []field
	null   []byte
	end    []byte // what stands behind the last value
}

type field struct {
	name  string
	key   []byte // what stands before the value, as {"name": or ,"name":
	value Append
}

// NewObject prepares the encoding of rows with these columns. A column whose
// type has no encoder is an error that names it: its query must have Postgres
// turn it into JSON. Text, which has no objects, is an error too.
func (f Format) NewObject(cols []store.Column) (*Object, error) {
	if err := f.known(); err != nil {
		return nil, err
	}
	if f == Text {
		return nil, errors.New("format text has no objects: it is for single columns")
	}
	o := &Object{fields: make([]field, len(cols)), null: f.null()}
	before, end := f.object(len(cols))
	for i, col := range cols {
		value, err := f.forColumn(col)
		if err != nil {
			return nil, err
		}
		o.fields[i] = field{name: col.Name, key: f.appendName(before, col.Name), value: value}
		before = f.Separate(nil)
	}
	if len(cols) == 0 {
		end = append(before, end...)
	}
	o.end = end
	return o, nil
}

// AppendRow appends the object of one row. An error names the column; dst is
// then returned as it was. Nothing is allocated when dst has room.
func (o *Object) AppendRow(dst []byte, row store.Row) ([]byte, error) {
	if len(row) != len(o.fields) {
		return dst, fmt.Errorf("row has %d cells, not %d", len(row), len(o.fields))
	}
	start := len(dst)
	for i := range o.fields {
		f := &o.fields[i]
		dst = append(dst, f.key...)
		raw := row[i]
		if raw == nil {
			dst = append(dst, o.null...)
			continue
		}
		var err error
		if dst, err = f.value(dst, raw); err != nil {
			return dst[:start], &columnError{column: f.name, err: err}
		}
	}
	return append(dst, o.end...), nil
}
