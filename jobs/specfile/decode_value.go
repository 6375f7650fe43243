package specfile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// checkValue holds a job's type, format and compression against its kind of
// value and each other. A kind that could not be read has had its problem.
func (d *decoder) checkValue(j *jobs.Job, given map[string]*yaml.Node) {
	if j.Value == "" {
		return
	}
	if j.Format == jobs.FormatText && j.Value != jobs.ValueScalar {
		d.problem(given["format"], "write value: scalar, or another format", "format text is for value: scalar, not %s",
			j.Value)
	}
	value, holds, parts := jobs.ValueRow, "its fields hold the columns' text", "fields"
	switch j.Type {
	case jobs.TypeHash:
	case jobs.TypeZSet:
		value, holds, parts = jobs.ValueRows, "it holds members and their scores", "members"
	default:
		d.checkEnvelope(j, given)
		return
	}
	if j.Value != value {
		d.problem(given["type"], fmt.Sprintf("write value: %s, or type: string", value),
			"type %s is for value: %s, not %s", j.Type, value, j.Value)
	}
	if format := given["format"]; format != nil {
		d.problem(format, "remove it, or write type: string", "type %s has no format: %s", j.Type, holds)
	}
	if compress := given["compress"]; compress != nil && j.Compress != jobs.CompressNone {
		d.problem(compress, "remove it, or write type: string",
			"type %s cannot be compressed: readers ask Redis for single %s", j.Type, parts)
	}
	j.Format, j.Compress = jobs.FormatJSON, jobs.CompressNone // also where the defaults have others
}

// checkEnvelope holds compression against the format of an SDK that reads no compressed values.
func (d *decoder) checkEnvelope(j *jobs.Job, given map[string]*yaml.Node) {
	if j.Format != jobs.FormatFastAPIRedis {
		return
	}
	if compress := given["compress"]; compress != nil && j.Compress != jobs.CompressNone {
		d.problem(compress, "remove it, or write format: json",
			"format fastapi-redis cannot be compressed: the SDK reads plain JSON")
	}
	j.Compress = jobs.CompressNone // also where the defaults have another
}

// omit reads the columns that stand in no value. Whether the query returns them, only the database knows.
func (d *decoder) omit(n *yaml.Node, j *jobs.Job) {
	items, ok := d.list("omit", n)
	switch {
	case !ok:
	case len(items) == 0:
		d.problem(n, "name columns of the query, or remove the field", "omit is empty")
	case j.Value == jobs.ValueScalar:
		d.problem(n, "remove it: a scalar is the one column that is not in the key",
			"omit is for value: row or rows, not scalar")
	}
	for _, item := range items {
		var column string
		single(d, &column, asIs)(field.Field{Name: "omit", Type: field.Column}, item)
		if column != "" && slices.Contains(j.Omit, column) {
			d.problem(item, "remove one", "column %q is twice in omit", column)
			continue
		}
		j.Omit = append(j.Omit, column)
	}
}
