package encode

import (
	"fmt"
	"strconv"

	"github.com/stokerhq/stoker/store"
)

// Object encodes rows as JSON objects, as row_to_json does: all columns in
// order, names that come twice kept twice. It is safe for concurrent use.
type Object struct {
	fields []field
}

type field struct {
	name  string
	key   []byte // what stands before the value: {"name": or ,"name":
	value Append
}

// NewObject prepares the encoding of rows with these columns. A column whose
// type has no encoder is an error that names it: its query must have Postgres
// turn it into JSON.
func NewObject(cols []store.Column) (*Object, error) {
	o := &Object{fields: make([]field, len(cols))}
	for i, col := range cols {
		value, err := forColumn(col)
		if err != nil {
			return nil, err
		}
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		key := append(appendQuoted([]byte{before}, []byte(col.Name)), ':')
		o.fields[i] = field{name: col.Name, key: key, value: value}
	}
	return o, nil
}

// AppendRow appends the JSON object of one row. An error names the column; dst
// is then returned as it was. Nothing is allocated when dst has room.
func (o *Object) AppendRow(dst []byte, row store.Row) ([]byte, error) {
	if len(row) != len(o.fields) {
		return dst, fmt.Errorf("row has %d cells, not %d", len(row), len(o.fields))
	}
	if len(row) == 0 {
		return append(dst, "{}"...), nil
	}
	start := len(dst)
	for i := range o.fields {
		f := &o.fields[i]
		dst = append(dst, f.key...)
		raw := row[i]
		if raw == nil {
			dst = append(dst, "null"...)
			continue
		}
		var err error
		if dst, err = f.value(dst, raw); err != nil {
			return dst[:start], &columnError{column: f.name, err: err}
		}
	}
	return append(dst, '}'), nil
}

// Cell returns the encoder of a single column, for values that are no objects.
// Unlike an Append it takes NULL too (raw is nil) and appends null.
func Cell(col store.Column) (func(dst, raw []byte) ([]byte, error), error) {
	value, err := forColumn(col)
	if err != nil {
		return nil, err
	}
	return func(dst, raw []byte) ([]byte, error) {
		if raw == nil {
			return append(dst, "null"...), nil
		}
		out, err := value(dst, raw)
		if err != nil {
			return dst, &columnError{column: col.Name, err: err}
		}
		return out, nil
	}, nil
}

func forColumn(col store.Column) (Append, error) {
	value, ok := ForOID(col.OID)
	if !ok {
		typ := col.Type
		if typ == "" {
			typ = "OID " + strconv.FormatUint(uint64(col.OID), 10)
		}
		return nil, &columnError{column: col.Name, err: fmt.Errorf("type %s has no encoder", typ)}
	}
	return value, nil
}
