// Package demolog says what the demo keeps warm.
package demolog

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/shop"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web"
)

// Reporter is what the demo shows beside the daemon: it says in a line every few
// seconds what is being kept warm. Every field is required.
type Reporter struct {
	Spec    *jobs.Spec
	Shop    *shop.Shop
	Servers *connect.Servers
	Print   func(format string, args ...any)
}

// reportEvery is how often the demo says what is going on.
const reportEvery = 3 * time.Second

// Run says it until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		list, err := web.Collect(ctx, r.Spec, r.Servers.Ledger, r.Servers.Sampler(), time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the status: %w", err)
		}
		r.Print("%s", r.line(list))
	}
}

// line says what is warm, by job, and what the shop has done meanwhile.
func (r *Reporter) line(list []web.JobStatus) string {
	keys, refreshed := int64(0), int64(0)
	parts := make([]string, len(list))
	for i, st := range list {
		keys += st.Keys
		refreshed += st.Refreshed
		parts[i] = st.Name + " -"
		if st.AgeSeconds != nil && st.Warmth != nil {
			parts[i] = fmt.Sprintf("%s %.0f%% %s", st.Name, *st.Warmth*100,
				show.Duration(time.Duration(*st.AgeSeconds)*time.Second))
		}
		for _, f := range st.Failures {
			parts[i] += " (" + f.Message + ")"
		}
	}
	return fmt.Sprintf("%s  %d keys warm: %s | %d rows changed, %d keys loaded again",
		time.Now().Format(time.TimeOnly), keys, strings.Join(parts, ", "), r.Shop.Changes.Load(), refreshed)
}
