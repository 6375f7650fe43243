package encode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	fxcbor "github.com/fxamacker/cbor/v2"
	vmsgpack "github.com/vmihailenco/msgpack/v5"
)

// Elements cuts an array into its elements, as they are written. It is for
// looking at values that are there, not for making them.
func (f Format) Elements(value []byte) ([][]byte, error) {
	switch f {
	case JSON:
		return cut[json.RawMessage](value, json.Unmarshal)
	case Msgpack:
		return cut[vmsgpack.RawMessage](value, unmarshalMsgpack)
	case CBOR:
		return cut[fxcbor.RawMessage](value, fxcbor.Unmarshal)
	}
	return nil, fmt.Errorf("format %q has no arrays", string(f))
}

func cut[T ~[]byte](value []byte, unmarshal func([]byte, any) error) ([][]byte, error) {
	var raw []T
	if err := unmarshal(value, &raw); err != nil {
		return nil, fmt.Errorf("cut an array into its elements: %w", err)
	}
	out := make([][]byte, len(raw))
	for i, e := range raw {
		out[i] = e
	}
	return out, nil
}

// unmarshalMsgpack refuses what follows the value, as the others do.
func unmarshalMsgpack(b []byte, v any) error {
	r := bytes.NewReader(b)
	if err := vmsgpack.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	if r.Len() > 0 {
		return errors.New("something follows the array")
	}
	return nil
}
