package outbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// fold adds a row of the outbox to the commits.
func (o *Feed) fold(c *feed.Commits, n outboxRow) {
	if n.Table == 0 {
		o.foldInvalidation(c, n)
		return
	}
	c.Rows += n.Rows
	for _, w := range o.watches[n.Table] {
		if n.Whole != "" {
			c.Effect.Rerun(w.Job, n.Whole+" of table "+w.Job.Watch[w.At].Table)
			continue
		}
		for _, values := range n.keys() {
			c.Effect.Row(w.Job, w.At, n.image(values))
		}
	}
}

// keys are the recorded values; of a table that nobody watches by key there are
// none, but it has changed.
func (n outboxRow) keys() [][]*string {
	if len(n.Keys) == 0 {
		return [][]*string{nil}
	}
	return n.Keys
}

// image is a changed row as far as it is recorded.
func (n outboxRow) image(values []*string) feed.Image {
	return func(column string) (string, feed.Cell) {
		i := slices.Index(n.Columns, column)
		if i < 0 || i >= len(values) {
			return "", feed.CellUnknown
		}
		if values[i] == nil {
			return "", feed.CellNull
		}
		return *values[i], feed.CellValue
	}
}

// foldInvalidation adds what a caller of stoker_invalidate has said. A mistake in it
// is logged and skipped: the caller's transaction is long committed, and what
// comes after must not wait.
func (o *Feed) foldInvalidation(c *feed.Commits, n outboxRow) {
	job, ok := o.spec.Job(n.Job)
	if !ok {
		o.refuse(n, fmt.Errorf("no job of that name is in the spec"))
		return
	}
	if n.All {
		c.Rows++
		c.Effect.Rerun(job, "stoker_invalidate of the whole job")
		return
	}
	key, err := invalidated(job, n.Key)
	if err != nil {
		o.refuse(n, err)
		return
	}
	c.Rows++
	c.Effect.Key(job, key)
}

func (o *Feed) refuse(n outboxRow, err error) {
	if o.skipped != nil {
		o.skipped()
	}
	o.log.Warn("a call of stoker_invalidate was skipped", jobs.LogJob, n.Job, "key", string(n.Key), jobs.LogErr, err)
}

// invalidated reads a key from JSON as {"id": 5}. A number keeps its digits as they
// were given.
func invalidated(job *jobs.Job, text json.RawMessage) (jobs.Key, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil || fields == nil {
		return nil, fmt.Errorf("a key is a JSON object with a value for each column of %q", job.Key)
	}
	key := make(jobs.Key, len(fields))
	for column, v := range fields {
		if !slices.Contains(job.Key.Columns(), column) {
			return nil, fmt.Errorf("%s is no column of %q", column, job.Key)
		}
		switch v := v.(type) {
		case string:
			key[column] = v
		case json.Number:
			key[column] = v.String()
		case bool:
			key[column] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("column %s is neither text, nor a number, nor a boolean", column)
		}
	}
	for _, column := range job.Key.Columns() {
		if _, ok := key[column]; !ok {
			return nil, fmt.Errorf("column %s of %q is missing", column, job.Key)
		}
	}
	return key, nil
}
