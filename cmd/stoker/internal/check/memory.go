package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
)

// memory looks whether the cache has room for what runs add to it.
func (f *Findings) memory(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	nodes, err := s.Cache.Nodes(ctx)
	all := info.Sum(nodes)
	switch {
	case errors.Is(err, cache.ErrNoInfo):
		f.add(Warn, "redis.headroom", "%v; until then runs write whatever memory the cache has", err)
		return
	case err != nil || all.Max == 0:
		return // told already, or without a limit
	}
	guard, ok, growth := s.Headroom(spec, prometheus.NewRegistry()), true, int64(0)
	for _, job := range spec.Jobs {
		bytes, err := guard.Fits(ctx, job, nodes)
		growth += bytes
		if err == nil {
			continue
		}
		ok = false
		if _, full := errors.AsType[*store.HeadroomError](err); !full {
			err = fmt.Errorf("it is not known whether the cache has room: %w", err)
		}
		f.add(Fail, job.Name, "%v", err)
	}
	free := spec.Redis.Free(all.Max)
	switch {
	case !ok:
	case growth > 0 && all.Used+growth > all.Max-free:
		f.add(Warn, "redis.headroom", "the cache uses %s of %s, and the next runs of all jobs add about %s, so that "+
			"the last of them are refused: %s stay free; raise maxmemory, or write fewer or smaller values (compress)",
			show.Bytes(all.Used), show.Bytes(all.Max), show.Bytes(growth), show.Bytes(free))
	default:
		f.add(Pass, "redis.headroom", "the cache uses %s of %s, of which runs leave %s free", show.Bytes(all.Used),
			show.Bytes(all.Max), show.Bytes(free))
	}
}
