package baseline

import (
	"io"
	"sync"
	"testing"
	"time"
)

// testProbe lets a loop that writes all keys again and again be what makes commits
// readable.
func testProbe(t *testing.T, task Task) {
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if _, err := do(t, Task{Do: "pipelined", Postgres: task.Postgres, Redis: task.Redis, Job: task.Job},
				open(t)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer func() { close(over); wg.Wait() }()
	alone := task
	alone.Commits = 5
	r, err := do(t, alone, open(t))
	wantProbes(t, r, err, 5, 5)
	paced := task
	paced.Commits, paced.Rate = 30, 200
	r, err = do(t, paced, open(t))
	wantProbes(t, r, err, 30, 30)
	in, end := io.Pipe()
	time.AfterFunc(200*time.Millisecond, func() { end.Close() })
	paced.Commits = 0
	r, err = do(t, paced, in)
	wantProbes(t, r, err, 1, 100)
}

func wantProbes(t *testing.T, r Result, err error, least, most int) {
	t.Helper()
	if err != nil || len(r.Probes) < least || len(r.Probes) > most {
		t.Errorf("%d probes, want %d to %d: %v", len(r.Probes), least, most, err)
	}
	for _, p := range r.Probes {
		if p.ID < 1 || p.Version < 2 || p.Took <= 0 || p.Lost || p.Commit.Before(r.Begin.Round(0)) {
			t.Errorf("%+v", p)
		}
	}
}

// A value without a version must not be taken for an old one.
func TestVersion(t *testing.T) {
	if v, err := Version(`{"id":3,"stock":41,"tags":[]}`); err != nil || v != 41 {
		t.Errorf("%d, %v", v, err)
	}
	for _, bad := range []string{"", `{"id":3}`, `{"stock":null}`, `{"stock":12`} {
		if v, err := Version(bad); err == nil {
			t.Errorf("%q has version %d", bad, v)
		}
	}
}
