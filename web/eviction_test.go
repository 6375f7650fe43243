package web

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
)

// The page, the API and /readyz say that keys are evicted; readiness is not warmth, so that it stays 200. Broken by: a
// page that counts the job as failing and does not say why; one that says it for each job.
func TestEvictionIsShown(t *testing.T) {
	e := &store.Eviction{Since: time.Now(), Keys: 12, Used: 99, Max: 100, Policy: "volatile-ttl"}
	s := newServer(t, func(cfg *Config) {
		cfg.Eviction = func(context.Context) (*store.Eviction, error) { return e, nil }
	})
	page := call(s, "GET", "/", "", asBrowser)
	wantBody(t, page, "Keys are evicted.", "evicted 12 keys by volatile-ttl: it uses 99 of 100 bytes")
	if n := strings.Count(page.Body.String(), "evicted 12 keys"); n != 1 {
		t.Errorf("the page says it %d times", n)
	}
	wantBody(t, call(s, "GET", "/jobs/product", "", asBrowser), "Keys are evicted since", "evicted 12 keys")
	wantBody(t, call(s, "GET", "/api/v1/jobs", ""), `"of":"memory"`)
	ready := call(s, "GET", "/readyz", "")
	if wantBody(t, ready, "ready\nbut the cache's Redis has evicted 12 keys"); ready.Code != 200 {
		t.Errorf("%d", ready.Code)
	}
	e = nil
	if text := call(s, "GET", "/readyz", "").Body.String(); text != "ready\n" {
		t.Errorf("%q", text)
	}
}

// Each kind of failure has its own title: what is wrong with all jobs is told on a job's page, too.
func TestFailuresAreNamed(t *testing.T) {
	titles := map[string]string{}
	for _, of := range []string{FailedRun, FailedRefresh, FailedStatus, FailedWrites, FailedSpec, FailedApart,
		FailedMemory} {
		title := Failure{Of: of}.Title()
		if other, is := titles[title]; is {
			t.Errorf("%s and %s are both %q", of, other, title)
		}
		titles[title] = of
	}
}
