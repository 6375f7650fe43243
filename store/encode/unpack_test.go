package encode_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/store/encode"
)

// unpack decodes one value with a library; bytes behind it are an error.
func unpack(t testing.TB, format encode.Format, data []byte) any {
	t.Helper()
	var v any
	var err error
	if format == encode.CBOR {
		err = cborMode.Unmarshal(data, &v)
	} else {
		r := bytes.NewReader(data)
		d := msgpack.NewDecoder(r)
		d.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return unpackMap(d) })
		if v, err = d.DecodeInterface(); err == nil && r.Len() > 0 {
			err = fmt.Errorf("%d bytes behind it", r.Len())
		}
	}
	if err != nil {
		t.Fatalf("%s %x: %v", format, data, err)
	}
	return unify(v)
}

var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxNestedLevels: 2000}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func unpackMap(d *msgpack.Decoder) (pairs, error) {
	n, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	object := pairs{}
	for range n {
		name, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		value, err := d.DecodeInterface()
		if err != nil {
			return nil, err
		}
		object = append(object, pair{name, value})
	}
	return object, nil
}

// unify gives the numbers of both libraries the types of expected.
func unify(v any) any {
	switch v := v.(type) {
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case float32:
		return newSingle(v)
	case float64:
		return newDouble(v)
	case []any:
		for i := range v {
			v[i] = unify(v[i])
		}
	case pairs:
		for i := range v {
			v[i].Value = unify(v[i].Value)
		}
	case map[any]any:
		for name := range v {
			v[name] = unify(v[name])
		}
	}
	return v
}
