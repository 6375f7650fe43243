package worker

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
func (s *renderer) values(r *store.Reading) (err error) {
	s.format = encode.Format(s.job.Format)
	switch {
	case s.job.Type == jobs.TypeHash:
		s.value, err = hash(r.Columns)
	case s.job.Value == jobs.ValueScalar:
		at := slices.IndexFunc(r.Columns, func(c store.Column) bool { return !slices.Contains(s.job.Key.Columns(), c.Name) })
		s.value, err = scalar(s.format, r.Columns[at], at)
	default:
		s.value, err = object(s.format, r.Columns)
	}
	if err == nil && s.job.Compress != jobs.CompressNone {
		s.small, err = encode.NewCompressor(encode.Compression(s.job.Compress), s.job.CompressAbove)
	}
	if err != nil {
		return fmt.Errorf("encode job %s: %w", s.job.Name, err)
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
