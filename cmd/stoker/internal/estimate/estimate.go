// Package estimate says how much a run of a job writes, and whether the cache has room for it.
package estimate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Sample is what a preview has seen of a job.
type Sample struct {
	Keys  int
	Bytes int64 // of these keys and their values
	Whole bool  // there are no more
}

// Print prints one line on how much a run writes, if that is known: what the sample is, if it is the whole set, or else
// as much as the last run of this definition, or else the rows that the planner expects at the sample's size. How many
// rows make a key of a job of value rows, the planner does not say.
func Print(ctx context.Context, w io.Writer, s *connect.Servers, job *jobs.Job, seen Sample) error {
	keys, bytes, by, err := size(ctx, s, job, seen)
	if err != nil || by == "" {
		return err
	}
	_, err = fmt.Fprintf(w, "a run writes about %d keys, %s, which take some %s of Redis' memory (%s)\n", keys,
		show.Bytes(bytes), show.Bytes(store.Footprint(keys, bytes)), by)
	return err
}

// size also says where its figures are from; "": they are not known.
func size(ctx context.Context, s *connect.Servers, job *jobs.Job, seen Sample) (keys, bytes int64, by string,
	err error) {
	if seen.Whole {
		return int64(seen.Keys), seen.Bytes, "all rows were looked at", nil
	}
	last, is, err := s.Ledger.LastComplete(ctx, job.Name)
	if err == nil && is && !last.Removal && job.Defines(last.Definition) {
		return last.Keys, last.Bytes, "as the last run did", nil
	}
	if job.Value == jobs.ValueRows || seen.Keys == 0 {
		return 0, 0, "", nil
	}
	rows, err := s.Source.Estimate(ctx, job)
	return rows, rows * seen.Bytes / int64(seen.Keys), "by the rows that the planner expects", err
}

// Refusal says why a run of a job would be refused now for want of memory; nil: it would not.
func Refusal(ctx context.Context, spec *jobs.Spec, s *connect.Servers, job *jobs.Job) (*store.HeadroomError, error) {
	_, err := s.Headroom(spec, prometheus.NewRegistry()).Begin(ctx, job)
	full, is := errors.AsType[*store.HeadroomError](err)
	if is {
		return full, nil
	}
	return nil, err
}
