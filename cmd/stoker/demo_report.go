package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/shop"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web"
)

// reporter is what the demo shows beside the daemon: it says in a line every few
// seconds what is being kept warm.
type reporter struct {
	*app
	spec    *jobs.Spec
	shop    *shop.Shop
	servers *connect.Servers
}

func newReporter(a *app, spec *jobs.Spec, s *shop.Shop) (*reporter, error) {
	servers, err := connect.Open(spec, a.log(slog.LevelWarn))
	if err != nil {
		return nil, err
	}
	return &reporter{app: a, spec: spec, shop: s, servers: servers}, nil
}

func (r *reporter) close() error { return r.servers.Close() }

// reportEvery is how often the demo says what is going on.
const reportEvery = 3 * time.Second

func (r *reporter) run(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		list, err := web.Collect(ctx, r.spec, r.servers.Ledger, r.servers.Sampler(), time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the status: %w", err)
		}
		r.printf("%s", r.line(list))
	}
}

// line says what is warm, by job, and what the shop has done meanwhile.
func (r *reporter) line(list []web.JobStatus) string {
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
		time.Now().Format(time.TimeOnly), keys, strings.Join(parts, ", "), r.shop.Changes.Load(), refreshed)
}
