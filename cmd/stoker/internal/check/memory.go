package check

import (
	"context"
	"errors"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/estimate"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
)

// memory looks whether the cache has room for what runs add to it.
func (f *Findings) memory(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	m, err := s.Cache.Memory(ctx)
	switch {
	case errors.Is(err, cache.ErrNoInfo):
		f.add(Warn, "redis.headroom", "%v; until then runs write whatever memory the cache has", err)
		return
	case err != nil || m.Max == 0:
		return // told already, or without a limit
	}
	ok := true
	for _, job := range spec.Jobs {
		full, err := estimate.Refusal(ctx, spec, s, job)
		switch {
		case err != nil:
			f.add(Fail, job.Name, "it is not known whether the cache has room: %v", err)
			ok = false
		case full != nil:
			f.add(Fail, job.Name, "%v", full)
			ok = false
		}
	}
	if !ok {
		return
	}
	free := int64(float64(m.Max) * spec.Redis.Headroom)
	switch growth, err := estimate.Growth(ctx, spec, s); {
	case err != nil:
		f.add(Fail, "redis.headroom", "it is not known whether the cache has room: %v", err)
	case growth > 0 && m.Used+growth > m.Max-free:
		f.add(Warn, "redis.headroom", "the cache uses %s of %s, and the next runs of all jobs add about %s, so that "+
			"the last of them are refused: %s stay free; raise maxmemory, or write fewer or smaller values (compress)",
			show.Bytes(m.Used), show.Bytes(m.Max), show.Bytes(growth), show.Bytes(free))
	default:
		f.add(Pass, "redis.headroom", "the cache uses %s of %s, of which runs leave %s free", show.Bytes(m.Used),
			show.Bytes(m.Max), show.Bytes(free))
	}
}
