// Package removal is what `stoker purge` does: it looks who is there, removes or counts, and prints what it found.
package removal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/purge"
)

// Removal is one command. Every field but the flags is required.
type Removal struct {
	Spec           *jobs.Spec
	Servers        *connect.Servers
	Stdout, Stderr io.Writer
	JSON           bool
	Yes            bool // do it
	Values         bool // the values of the jobs as well
	Force          bool // also while a daemon is there, or a newer version has been

	daemons []string
	found   purge.Found
	said    time.Time // when it was said last how far it is
}

// Run removes what the namespace of the spec has, or counts it.
func (r *Removal) Run(ctx context.Context) (err error) {
	if !r.Force {
		if err := r.Servers.CheckFormats(ctx); err != nil {
			return err
		}
	}
	r.daemons, err = r.Servers.Daemons(ctx)
	switch {
	case err != nil:
		return err
	case len(r.daemons) > 0 && r.Yes && !r.Force:
		return fmt.Errorf("%s of %s: stop them first, or give --force: what they keep begins anew then, and runs "+
			"begin again (%s)", show.Plural(len(r.daemons), "daemon"), r.Spec.Namespace.InWords(),
			strings.Join(r.daemons, ", "))
	}
	r.said = time.Now()
	r.found, err = purge.Run(ctx, purge.Config{Spec: r.Spec, Cache: r.Servers.Cache, CacheClient: r.Servers.CacheClient,
		QueueClient: r.Servers.QueueClient, Values: r.Values, Dry: !r.Yes, Progress: r.progress})
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %s: run it again to remove the rest", counted(r.found))
	}
	if err != nil {
		return err
	}
	if r.JSON {
		return r.printJSON()
	}
	return r.print()
}

// lineEvery is how often it is said how far the purge is.
const lineEvery = 2 * time.Second

func (r *Removal) progress(at purge.Found) {
	if time.Since(r.said) >= lineEvery {
		r.said = time.Now()
		fmt.Fprintf(r.Stderr, "%s so far\n", counted(at))
	}
}

func counted(f purge.Found) string {
	return fmt.Sprintf("%s, %s of values", show.Plural(int(f.Cache+f.Queue), "key"), show.Plural(int(f.Values), "key"))
}

func (r *Removal) printJSON() error {
	e := json.NewEncoder(r.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Namespace string   `json:"namespace"`
		Removed   bool     `json:"removed"`
		Daemons   []string `json:"daemons"`
		purge.Found
	}{string(r.Spec.Namespace), r.Yes, append([]string{}, r.daemons...), r.found})
}

func (r *Removal) print() error {
	verb := "would be removed"
	if r.Yes {
		verb = "removed"
	}
	lines := []string{fmt.Sprintf("%s: %s %s: %d in the cache, %d in the queue (%s that wait)",
		r.Spec.Namespace.InWords(), show.Plural(int(r.found.Cache+r.found.Queue), "key"), verb, r.found.Cache,
		r.found.Queue, show.Plural(int(r.found.Pending), "task"))}
	if r.Values {
		lines = append(lines, fmt.Sprintf("values of jobs: %s %s", show.Plural(int(r.found.Values), "key"), verb))
	} else {
		lines = append(lines, "values of jobs: they stay until their TTL (--values: they go, too)")
	}
	if len(r.daemons) > 0 {
		lines = append(lines, "daemons of the namespace are there: "+strings.Join(r.daemons, ", "))
	}
	if !r.Yes {
		lines = append(lines, "nothing was removed: give --yes to do it")
	}
	_, err := fmt.Fprintln(r.Stdout, strings.Join(lines, "\n"))
	return err
}
