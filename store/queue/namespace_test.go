package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/queue"
)

// Two namespaces have a tick of one name, and a worker each. Broken by: a task on the queue of another namespace; a
// name that is taken there; a pause, an orphan or a count that is another's.
func TestNamespacesHaveTheirOwnTasks(t *testing.T) {
	r := newRig(t)
	for _, n := range []jobs.Namespace{"", "a", "b"} {
		info, err := queue.NewClient(n, r.c).EnqueueContext(t.Context(), jobs.NewTick("j", due, jobs.CauseTick))
		if err != nil || info.Queue != run {
			t.Fatalf("%s: %+v, %v", n, info, err)
		}
		if got := r.c.LLen(t.Context(), "asynq:{"+n.Queue(run)+"}:pending").Val(); got != 1 {
			t.Errorf("%d tasks wait on %s", got, n.Queue(run))
		}
		info, err = queue.NewInspector(n, r.c).GetTaskInfo(run, info.ID)
		if err != nil || info.Queue != run {
			t.Errorf("%s: %+v, %v", n, info, err)
		}
		rescue := jobs.NewRescue(info)
		if _, err := queue.NewClient(n, r.c).EnqueueContext(t.Context(), rescue, asynq.Queue(run)); err != nil {
			t.Errorf("a rescue: %v", err)
		}
		if got, err := queue.NewIn(n, r.c).Pending(t.Context(), run); got != 2 || err != nil {
			t.Errorf("%s: %d wait, %v", n, got, err)
		}
	}
	inspect := asynq.NewInspectorFromRedisClient(r.c)
	if err := inspect.PauseQueue("a:" + run); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[jobs.Namespace]int{"": 0, "a": 1, "b": 0} {
		if got, err := queue.NewIn(n, r.c).Paused(t.Context()); len(got) != want || err != nil {
			t.Errorf("%s: paused %v, %v", n, got, err)
		}
	}
	inv, err := jobs.NewInvalidation("j", jobs.Key{"id": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := queue.NewClient("b", r.c).EnqueueContext(t.Context(), inv); err != nil ||
		info.Queue != jobs.QueueRefresh || r.c.LLen(t.Context(), "asynq:{b:stoker-refresh}:pending").Val() != 1 {
		t.Errorf("a refresh: %+v, %v", info, err)
	}
	s := asynq.NewServerFromRedisClient(r.c, asynq.Config{Queues: map[string]int{"b:" + run: 1},
		LogLevel: asynq.FatalLevel})
	if err := s.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	for n, want := range map[jobs.Namespace]int{"": 0, "a": 0, "b": 1} {
		var servers []*asynq.ServerInfo
		r.eventually("the worker is registered", func() bool {
			var err error
			servers, err = queue.NewInspector(n, r.c).Servers()
			return err == nil && len(servers) >= want
		})
		if len(servers) != want || want == 1 && servers[0].Queues[run] != 1 {
			t.Errorf("%s: servers %+v", n, servers)
		}
	}
}

// Broken by: a number that is lowered, or that is no number and is replaced; a newer one that is taken.
func TestFormat(t *testing.T) {
	r := newRig(t)
	q := queue.NewIn("a", r.c)
	const key = "stoker:ns:a:format"
	for _, test := range []struct {
		found, after string
		refused      bool
	}{{"", "2", false}, {"1", "2", false}, {"2", "2", false}, {"3", "3", true}, {"2b", "2b", true}} {
		if r.c.Del(t.Context(), key); test.found != "" {
			r.c.Set(t.Context(), key, test.found, 0)
		}
		found, err := q.CheckFormat(t.Context())
		if _, refused := errors.AsType[*store.FormatError](err); refused != test.refused || found != test.found {
			t.Errorf("%q: found %q, %v", test.found, found, err)
		}
		err = q.RaiseFormat(t.Context())
		if _, refused := errors.AsType[*store.FormatError](err); refused != test.refused {
			t.Errorf("%q: %v", test.found, err)
		}
		if got := r.c.Get(t.Context(), key).Val(); got != test.after {
			t.Errorf("%q became %q", test.found, got)
		}
	}
	if _, err := queue.New(r.c).CheckFormat(t.Context()); err != nil {
		t.Errorf("of no namespace: %v", err)
	}
}

func spec(n jobs.Namespace, file, database string, list ...string) *jobs.Spec {
	s := &jobs.Spec{File: file, Namespace: n,
		Postgres: jobs.Postgres{URL: jobs.NewSecret("postgres://u:hunter2@" + database)},
		Redis:    jobs.Redis{URL: jobs.NewSecret("redis://:hunter2@cache:6379/0")}}
	for _, name := range list {
		key, err := jobs.ParseKeyTemplate(string(n) + name + ":{id}")
		if err != nil {
			panic(err)
		}
		s.Jobs = append(s.Jobs, &jobs.Job{Name: name, Key: key})
	}
	return s
}

// Broken by: a daemon that stays for good; one of another namespace that is purged; a secret that is shown.
func TestRegister(t *testing.T) {
	r := newRig(t)
	g := queue.NewRegister(r.c)
	a, usesA := queue.NewMember(spec("a", "a.yaml", "db/shop", "x"), due, "one:1")
	b, usesB := queue.NewMember(spec("b", "b.yaml", "db/shop", "x", "y"), due, "two:2")
	if _, err := g.Beat(t.Context(), a, usesA); err != nil {
		t.Fatal(err)
	}
	all, err := g.Beat(t.Context(), b, usesB)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	usages, err := g.Usages(t.Context(), all)
	if err != nil || usages[a].File != "a.yaml" || len(usages[b].Jobs) != 2 {
		t.Errorf("%+v, %v", usages, err)
	}
	for _, text := range r.c.HGetAll(t.Context(), "stoker:specs").Val() {
		if strings.Contains(text, "hunter2") {
			t.Errorf("it shows a secret: %s", text)
		}
	}
	for job, want := range map[string]bool{"x": true, "y": false} {
		if has, err := queue.NewIn("a", r.c).HasWorker(t.Context(), job); has != want || err != nil {
			t.Errorf("a has a worker for %s: %t, %v", job, has, err)
		}
	}
	if err := g.Leave(t.Context(), a); err != nil {
		t.Error(err)
	}
	if all, err = g.Members(t.Context()); err != nil || len(all) != 1 || all[0] != b {
		t.Errorf("%v, %v", all, err)
	}
	if err := g.Purge(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if all, err = g.Members(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("after the purge of another: %v, %v", all, err)
	}
	r.c.ZAddXX(t.Context(), "stoker:daemons", redis.Z{Score: 1, Member: b.String()}) // it was killed, some time ago
	if all, err = g.Members(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if err := g.Purge(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if left := r.c.HLen(t.Context(), "stoker:specs").Val(); left != 0 {
		t.Errorf("%d specs are left", left)
	}
}

// Broken by: a rollout that is told of; two specs that are not.
func TestConflicts(t *testing.T) {
	long, now := time.Now().Add(-time.Hour), time.Now()
	with := func(s *jobs.Spec, source jobs.Source, name string) *jobs.Spec {
		s.Changes = jobs.Changes{Source: source, Name: name}
		return s
	}
	own := func() *jobs.Spec { return spec("", "own.yaml", "db/shop", "x", "y") }
	other := func(n jobs.Namespace, database string, list ...string) *jobs.Spec {
		return spec(n, "other.yaml", database, list...)
	}
	for name, test := range map[string]struct {
		own, other           *jobs.Spec
		ownSince, otherSince time.Time
		want                 string
	}{
		"a replica":    {own(), own(), long, long, ""},
		"a rollout":    {own(), other("", "db/shop", "x", "z"), long, now, ""},
		"a job more":   {own(), other("", "db/shop", "x", "y", "z"), now, long, ""},
		"it stays":     {own(), other("", "db/shop", "x", "z"), long, long, "(z is the first)"},
		"none of ours": {own(), other("", "db/shop", "a"), now, now, "has none of this spec's jobs"},
		"a database":   {own(), other("", "db2/shop", "x", "y"), long, long, "another database (db2/shop)"},
		"a moment":     {own(), other("", "db2/shop", "x", "y"), now, long, ""},
		"a namespace":  {own(), other("n", "db2/shop", "x"), long, long, ""},
		"a key of two": {spec("n", "own.yaml", "db/shop", "x"), other("", "db/shop", "nx"), now, now,
			"nx:{id} is written by no namespace"},
		"one outbox": {with(own(), jobs.SourceOutbox, ""), with(other("n", "db/shop", "x"), jobs.SourceOutbox, ""),
			now, now, "the outbox of database db/shop is used by namespace n"},
		"one publication": {with(own(), jobs.SourceWAL, "p"), with(other("n", "db/shop", "x"), jobs.SourceWAL, "p"),
			now, now, "changes.name of its own"},
		"two": {with(own(), jobs.SourceWAL, "p"), with(other("n", "db/shop", "x"), jobs.SourceWAL, "q"), now, now, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, usesA := queue.NewMember(test.own, test.ownSince, "here:1")
			b, usesB := queue.NewMember(test.other, test.otherSince, "there:2")
			got := strings.Join(queue.Conflicts(a, usesA, map[queue.Member]queue.Usage{a: usesA, b: usesB}), "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
