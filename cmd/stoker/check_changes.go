package main

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
)

// changes looks at what the change feed needs, if there is one.
func (f *findings) changes(ctx context.Context, spec *jobs.Spec, s *servers) {
	if spec.Changes.Source == jobs.SourceNone {
		return
	}
	problems, err := feedCheck{s.source}.Check(ctx, spec)
	if err != nil {
		f.add(fail, "changes", "%v", err)
		return
	}
	good := true
	for _, p := range problems {
		subject, verdict := "changes", warn
		if p.Job != "" {
			subject = p.Job
		}
		if p.Fatal {
			verdict, good = fail, false
		}
		f.add(verdict, subject, "%s", p.Message)
	}
	if good {
		f.add(pass, "changes", "source %s: %s watched", spec.Changes.Source, plural(len(spec.Watched()), "table"))
	}
}
