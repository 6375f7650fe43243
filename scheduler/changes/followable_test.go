package changes

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// found is a Checker that finds these problems.
type found []feed.Problem

func (f found) Check(context.Context, *jobs.Spec) ([]feed.Problem, error) { return f, nil }

// A watch entry that cannot name all keys runs the job, in the spec that the feed is opened for. Broken by: a feed
// that is opened for the entry as it is written.
func TestEntriesThatRunTheJob(t *testing.T) {
	byKey := jobs.Watch{Table: "player", Key: map[string]string{"id": "id"}}
	byQuery := jobs.Watch{Table: "team", Column: "id", Keys: "SELECT id FROM player WHERE team = ANY($1)"}
	ranks := &jobs.Job{Name: "ranks", Watch: []jobs.Watch{byKey, byQuery}}
	plain := &jobs.Job{Name: "plain", Watch: []jobs.Watch{byKey}}
	spec := &jobs.Spec{Jobs: []*jobs.Job{ranks, plain}}
	var opened *jobs.Spec
	stop := errors.New("opened")
	f := NewFollowable(FollowableConfig{Spec: spec, Metrics: prometheus.NewRegistry(),
		Log:     slog.New(slog.DiscardHandler),
		Checker: found{{Job: "ranks", Message: "m", Whole: map[int]string{0: "a window function"}}},
		Open: func(_ context.Context, s *jobs.Spec) (OpenedFeed, feed.Start, error) {
			opened = s
			return nil, feed.Start{}, stop
		}})
	if _, _, err := f.OpenFeed(t.Context()); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if w := opened.Jobs[0].Watch[0]; w.Key != nil || w.Table != "player" || w.Whole != "a window function" {
		t.Errorf("the entry that cannot name all keys is %+v", w)
	}
	if w := opened.Jobs[0].Watch[1]; w.Keys != byQuery.Keys || opened.Jobs[1] != plain {
		t.Errorf("another entry, or another job, was changed: %+v", w)
	}
	if ranks.Watch[0].Key == nil {
		t.Error("the spec itself was changed")
	}
	effect := feed.NewEffect(10)
	effect.Row(opened.Jobs[0], 0, func(string) (string, feed.Cell) { return "7", feed.CellValue })
	for part := range effect.Parts() {
		if part.RerunReason != "a change of table player, which may matter to any key: a window function" {
			t.Errorf("a change of it asks for: %q, keys %v", part.RerunReason, part.Keys)
		}
	}
}

// A feed is opened anew once keys do not suffice where they did, and not for the sake of fewer runs.
func TestFeedEndsWhenKeysNoLongerSuffice(t *testing.T) {
	of := func(at ...int) followed {
		f := followed{left: map[string]error{}, whole: map[watchID]string{}}
		for _, i := range at {
			f.whole[watchID{"j", i}] = "why"
		}
		return f
	}
	if of().same(of(0)) || of(1).same(of(0, 1)) {
		t.Error("an entry has come to run the job, and the feed goes on refreshing keys")
	}
	if !of(0).same(of()) || !of(0).same(of(0)) {
		t.Error("a feed ends though what it does is right")
	}
	left := of()
	left.left["j"] = errors.New("gone")
	if of().same(left) || left.same(of()) {
		t.Error("a job is left out, or no longer, and the feed goes on")
	}
}
