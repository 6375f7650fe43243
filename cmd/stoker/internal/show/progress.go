package show

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/stokerhq/stoker/store"
)

// Progress shows how one run goes on. It is used by one goroutine at a time.
type Progress struct {
	out  io.Writer
	job  string
	bar  *progressbar.ProgressBar // on a terminal
	last time.Time                // elsewhere: when the last line was written
}

// lineEvery is how often a line is written where no bar can be drawn.
const lineEvery = 2 * time.Second

// NewProgress shows the progress of a run of job on out.
func NewProgress(out io.Writer, job string) *Progress {
	p := &Progress{out: out, job: job, last: time.Now()}
	if IsTerminal(out) {
		p.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription(job),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("keys"),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(30),
		)
	}
	return p
}

// Update shows where the run is.
func (p *Progress) Update(at store.Progress) error {
	if p.bar != nil {
		if at.Expected > 0 && p.bar.GetMax64() < at.Expected {
			p.bar.ChangeMax64(max(at.Expected, at.Rows+1))
		}
		description := p.job
		if at.Waiting != "" {
			description += ", it waits: " + at.Waiting
		}
		p.bar.Describe(description)
		return p.bar.Set64(at.Keys)
	}
	if time.Since(p.last) < lineEvery {
		return nil
	}
	p.last = time.Now()
	_, err := fmt.Fprintln(p.out, Line(at, time.Since(at.Start)))
	return err
}

// Done removes the bar.
func (p *Progress) Done() error {
	if p.bar == nil {
		return nil
	}
	return p.bar.Clear()
}

// Line says in words how a run goes on.
func Line(at store.Progress, took time.Duration) string {
	line := fmt.Sprintf("%s: %d keys, %s, %s", at.Job, at.Keys, Bytes(at.Bytes), Rate(at.Keys, took))
	if at.Expected > 0 {
		line += fmt.Sprintf(", %d%%", min(99, at.Rows*100/at.Expected))
		if left := at.Expected - at.Rows; left > 0 && at.Rows > 0 {
			line += ", " + Duration(time.Duration(float64(took)*float64(left)/float64(at.Rows))) + " left"
		}
	}
	if at.Waiting != "" {
		line += "; it waits: " + at.Waiting
	}
	return line
}

// Summary is the one line that a run ends with.
func Summary(r store.Record) string {
	took := r.End.Sub(r.Start)
	line := fmt.Sprintf("%s: %d keys, %s, %.2f seconds, %s", r.Job, r.Keys, Bytes(r.Bytes), took.Seconds(),
		Rate(r.Keys, took))
	if r.Removal {
		line = fmt.Sprintf("%s: %d keys removed, %.2f seconds", r.Job, r.Removed, took.Seconds())
	}
	switch {
	case r.State == store.StateSuperseded:
		line += "; a newer run took over"
	case r.Unchanged:
		line += "; nothing was committed since the last run"
	case r.Kept > 0:
		line += fmt.Sprintf("; %d were there already, %s sent", r.Kept, Bytes(r.Sent))
	}
	if r.Removed > 0 && !r.Removal {
		line += fmt.Sprintf("; %d keys removed that are no longer in the result", r.Removed)
	}
	if r.Held > 0 {
		line += fmt.Sprintf("; the result shrank: %d keys that are no longer in it are kept (if that is right: "+
			"stoker warm %s --accept-shrink)", r.Held, r.Job)
	}
	if r.NullKeys > 0 {
		line += fmt.Sprintf("; %d rows without a key", r.NullKeys)
	}
	if n := r.Oversized + r.BadKeys + r.Returned; n > 0 {
		line += fmt.Sprintf("; %d keys NOT written: %s", n, r.Warning)
	} else if r.Duplicates > 0 {
		line += fmt.Sprintf("; %d rows NOT written, of keys that had a row: %s", r.Duplicates, r.Warning)
	}
	return line
}

// Rate is keys a second.
func Rate(keys int64, took time.Duration) string {
	if took <= 0 {
		return "0 keys/s"
	}
	return fmt.Sprintf("%.0f keys/s", float64(keys)/took.Seconds())
}
