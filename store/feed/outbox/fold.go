package outbox

import (
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

// keys are the recorded values; of a table that no job watches by key there are
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
	key, err := jobs.ParseKey(job, n.Key)
	if err != nil {
		o.refuse(n, fmt.Errorf("the key %w", err))
		return
	}
	c.Rows++
	c.Effect.Invalidate(job, key)
}

func (o *Feed) refuse(n outboxRow, err error) {
	if o.skipped != nil {
		o.skipped()
	}
	o.log.Warn("a call of stoker_invalidate was skipped", jobs.LogJob, n.Job, "key", string(n.Key), jobs.LogErr, err)
}
