package encode

import (
	"fmt"
	"strconv"

	"github.com/stokerhq/stoker/store"
)

// Cell returns the encoder of a single column, for values that are no objects.
// Unlike an Append it takes NULL too (raw is nil) and appends null; as Text that
// is nothing.
func (f Format) Cell(col store.Column) (func(dst, raw []byte) ([]byte, error), error) {
	value, err := f.forColumn(col)
	if err != nil {
		return nil, err
	}
	null := f.null()
	return func(dst, raw []byte) ([]byte, error) {
		if raw == nil {
			return append(dst, null...), nil
		}
		out, err := value(dst, raw)
		if err != nil {
			return dst, &columnError{column: col.Name, err: err}
		}
		return out, nil
	}, nil
}

func (f Format) forColumn(col store.Column) (Append, error) {
	if err := f.known(); err != nil {
		return nil, err
	}
	value, ok := f.forOID(col.OID)
	if !ok {
		typ := col.Type
		if typ == "" {
			typ = "OID " + strconv.FormatUint(uint64(col.OID), 10)
		}
		return nil, &columnError{column: col.Name, err: fmt.Errorf("type %s has no encoder", typ)}
	}
	return value, nil
}

func (f Format) forOID(oid uint32) (Append, bool) {
	switch f {
	case JSON:
		return ForOID(oid)
	case Text:
		return KeyText(oid)
	}
	return packer(f.dialect(), oid)
}
