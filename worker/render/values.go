package render

import (
	"fmt"
	"slices"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// appendRow appends what a row becomes.
type appendRow func(dst []byte, row store.Row) ([]byte, error)

// values chooses how a row becomes a value.
func (r *Renderer) values(reading *store.Reading) (err error) {
	r.format = encode.Format(r.job.Format)
	switch {
	case r.job.Type == jobs.TypeHash:
		r.value, err = hash(reading.Columns)
	case r.job.Value == jobs.ValueScalar:
		at := slices.IndexFunc(reading.Columns, func(c store.Column) bool {
			return !slices.Contains(r.job.Key.Columns(),
				c.Name)
		})
		r.value, err = scalar(r.format, reading.Columns[at], at)
	default:
		r.value, err = object(r.format, reading.Columns)
	}
	if err == nil && r.job.Compress != jobs.CompressNone {
		r.compressor, err = encode.NewCompressor(encode.Compression(r.job.Compress), r.job.CompressAbove)
	}
	if err != nil {
		return fmt.Errorf("encode job %s: %w", r.job.Name, err)
	}
	return nil
}

func hash(cols []store.Column) (appendRow, error) {
	h, err := encode.NewHash(cols)
	if err != nil {
		return nil, err
	}
	return h.AppendRow, nil
}

func scalar(f encode.Format, col store.Column, at int) (appendRow, error) {
	cell, err := f.Cell(col)
	return func(dst []byte, row store.Row) ([]byte, error) { return cell(dst, row[at]) }, err
}

func object(f encode.Format, cols []store.Column) (appendRow, error) {
	o, err := f.NewObject(cols)
	if err != nil {
		return nil, err
	}
	return o.AppendRow, nil
}
