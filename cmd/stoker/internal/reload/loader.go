// Package reload loads a spec again while a daemon works, and says what of it may be taken.
//
//	spec file, query files ── another content? ──► Loader.Load ──► Compare with the spec in use ──► Plan
//	                                                  │ mistakes        │ fields that only a start can change
//	                                                  └───── refused ───┘
package reload

import (
	"cmp"
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/store"
)

// Loader loads one spec file, again and again. It is used by one goroutine.
type Loader struct {
	File    string
	Lookup  func(string) (string, bool) // environment variables: those of the process, which do not change
	Drivers specfile.Drivers
	// HoldStill is how long the files must not change before a load counts. Default 200 ms.
	HoldStill time.Duration

	files *specfile.Files // as they were at the last load; nil: there was none
}

// A file that is being written is there in part for a moment, and may be a whole spec nevertheless, with the jobs at
// its end gone. So a load counts once the files have held still for holdStill; a writer that never ends is not waited
// for.
const (
	holdStill = 200 * time.Millisecond
	mostLooks = 10
)

// First loads the spec at the start of a process.
func (l *Loader) First() (spec *jobs.Spec, err error) {
	spec, l.files, err = specfile.LoadFiles(l.File, l.Lookup, l.Drivers)
	return spec, err
}

// Load loads the spec as it is now. The error is jobs.Problems where it has mistakes.
func (l *Loader) Load(ctx context.Context) (*jobs.Spec, error) {
	for n := 1; ; n++ {
		spec, err := l.First()
		store.Sleep(ctx, cmp.Or(l.HoldStill, holdStill))
		if n == mostLooks || ctx.Err() != nil || !l.files.Changed() {
			return spec, err
		}
	}
}

// Changed reports whether the spec, or a query file that it names, has another content than when it was loaded the
// last time, well or not.
func (l *Loader) Changed() bool { return l.files != nil && l.files.Changed() }
