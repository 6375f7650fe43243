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
	if r.format = encode.Format(r.job.Format); r.job.Format == jobs.FormatFastAPIRedis {
		r.format, r.envelope = encode.JSON, encode.NewEnvelope()
	}
	columns, kept, err := r.kept(reading.Columns)
	if err != nil {
		return err
	}
	switch {
	case r.job.Type == jobs.TypeHash:
		r.value, err = hash(columns)
	case r.job.Type == jobs.TypeZSet:
		r.format = encode.Msgpack // for the script that writes it
		r.value, err = ranking(columns)
	case r.job.Value == jobs.ValueScalar:
		at := slices.IndexFunc(reading.Columns, func(c store.Column) bool {
			return !slices.Contains(r.job.Key.Columns(),
				c.Name)
		})
		r.value, err = scalar(r.format, reading.Columns[at], at)
	default:
		r.value, err = object(r.format, columns)
	}
	if len(kept) < len(reading.Columns) && err == nil {
		r.value = pick(kept, r.value)
	}
	if err == nil && r.job.Compress != jobs.CompressNone {
		r.compressor, err = encode.NewCompressor(encode.Compression(r.job.Compress), r.job.CompressAbove)
	}
	if err != nil {
		return fmt.Errorf("encode job %s: %w", r.job.Name, err)
	}
	return nil
}

// kept returns the columns that stand in a value, and where they are in a row.
func (r *Renderer) kept(columns []store.Column) (out []store.Column, at []int, err error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	if at, err = r.job.Kept(names); err != nil {
		return nil, nil, &store.ShapeError{Job: r.job.Name, Message: err.Error()}
	}
	for _, i := range at {
		out = append(out, columns[i])
	}
	return out, at, nil
}

// pick gives next the cells of a row that are kept.
func pick(kept []int, next appendRow) appendRow {
	cells := make(store.Row, len(kept))
	return func(dst []byte, row store.Row) ([]byte, error) {
		for n, i := range kept {
			cells[n] = row[i]
		}
		return next(dst, cells)
	}
}

func ranking(cols []store.Column) (appendRow, error) {
	z, err := encode.NewRanking(cols)
	if err != nil {
		return nil, err
	}
	return z.AppendRow, nil
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
