package connect

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
	"github.com/stokerhq/stoker/store/rights"
)

// Use is a Redis, and what it is for.
type Use struct {
	Field  string // of the spec
	Name   string // what it is to Stoker
	URL    jobs.Secret
	Client redis.UniversalClient
	Needs  rights.Needs
}

// Uses are the Redis servers of a spec: one where cache and queue share it.
func (s *Servers) Uses(spec *jobs.Spec) []Use {
	values, tasks := rights.Cache(spec, rights.Scope{}), rights.Queue(spec, rights.Scope{})
	if spec.Redis.Shared() {
		return []Use{{"redis.url", "redis", spec.Redis.URL, s.CacheClient, values.And(tasks)}}
	}
	return []Use{
		{"redis.url", "redis", spec.Redis.URL, s.CacheClient, values},
		{"redis.queue_url", "queue", spec.Redis.QueueURL, s.QueueClient, tasks},
	}
}

// Problems asks a Redis what it is, and whether it takes all that Stoker sends.
func (u Use) Problems(ctx context.Context) ([]rights.Problem, error) {
	report, err := rights.Check(ctx, u.Client, u.Needs)
	if err != nil {
		return nil, rights.Explain(u.Client, u.URL, err)
	}
	report.User = cmp.Or(connurl.LoginOf(u.URL).User, "default") // the client may not know it
	return report.Problems(u.Client), nil
}

// Fit refuses to serve with a Redis that is none to write to, or lets the user of the URL not do it, and warns of what
// is only half right.
func (s *Servers) Fit(ctx context.Context, spec *jobs.Spec, log *slog.Logger) error {
	if err := s.Suitable(ctx, log); err != nil {
		return err
	}
	for _, use := range s.Uses(spec) {
		problems, err := use.Problems(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", use.Field, err)
		}
		for _, p := range problems {
			if p.Fatal {
				return fmt.Errorf("%s: %s", use.Field, p.Message)
			}
			log.Warn(p.Message, "redis", use.Field)
		}
	}
	return nil
}
