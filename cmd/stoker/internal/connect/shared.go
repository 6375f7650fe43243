package connect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/queue"
)

// UnknownFormats are the formats of the Redis servers that this version does not know. One that does not answer has
// none that is known of.
func (s *Servers) UnknownFormats(ctx context.Context) (unknown []*store.FormatError) {
	_, ofCache := s.Cache.CheckFormat(ctx)
	_, ofQueue := s.Queues().CheckFormat(ctx)
	for _, err := range []error{ofCache, ofQueue} {
		if is, found := errors.AsType[*store.FormatError](err); found {
			unknown = append(unknown, is)
		}
	}
	return unknown
}

// CheckFormats refuses servers with a format that this version does not know.
func (s *Servers) CheckFormats(ctx context.Context) error {
	for _, err := range s.UnknownFormats(ctx) {
		return err
	}
	return nil
}

// Conflicts says in words which daemons get in the way of a spec.
func (s *Servers) Conflicts(ctx context.Context, spec *jobs.Spec) ([]string, error) {
	members, usages, err := s.daemons(ctx)
	if err != nil {
		return nil, err
	}
	own, uses := queue.NewMember(spec, time.Now(), "")
	for _, m := range members { // how long two specs have been side by side, their daemons know
		if m.Namespace == own.Namespace && m.Usage == own.Usage && m.Since.Before(own.Since) {
			own.Since = m.Since
		}
	}
	return queue.Conflicts(own, uses, usages), nil
}

func (s *Servers) daemons(ctx context.Context) ([]queue.Member, map[queue.Member]queue.Usage, error) {
	r := queue.NewRegister(s.QueueClient)
	members, err := r.Members(ctx)
	if err != nil {
		return nil, nil, err
	}
	usages, err := r.Usages(ctx, members)
	return members, usages, err
}

// Daemons names the daemons of the spec's namespace that are there: those that have registered, and the workers of
// versions that did not.
func (s *Servers) Daemons(ctx context.Context) (places []string, err error) {
	members, err := queue.NewRegister(s.QueueClient).Members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if m.Namespace == s.namespace {
			places = append(places, m.Place)
		}
	}
	if len(places) > 0 {
		return places, nil
	}
	workers, err := s.Inspector().Servers()
	if err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	for _, w := range workers {
		places = append(places, fmt.Sprintf("%s:%d", w.Host, w.PID))
	}
	return places, nil
}

// Place names this process.
func Place() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}
