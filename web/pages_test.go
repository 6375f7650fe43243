package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

func TestPagesGolden(t *testing.T) {
	tests := []struct {
		file, target string
		change       func(*Config)
	}{
		{"status.golden.html", "/", nil},
		{"asked.golden.html", "/?asked=price", nil},
		{"job.golden.html", "/jobs/top-sellers", nil},
		{"empty-job.golden.html", "/jobs/price", withToken},
		{"down.golden.html", "/", redisDown},
		{"no-jobs.golden.html", "/", func(cfg *Config) { cfg.Spec.Jobs = nil }},
		{"error.golden.html", "/nope", nil},
		{"login.golden.html", "/login?next=/jobs/%22%3E%3Cscript%3E", withToken},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a fixed clock: midnight of 2000-01-01 UTC
				s := newServer(t, func(cfg *Config) {
					cfg.Ledger, cfg.Sampler = sample(time.Now())
					if tt.change != nil {
						tt.change(cfg)
					}
				})
				headers := []string{asBrowser}
				if !strings.HasPrefix(tt.target, "/login") {
					headers = append(headers, "Authorization: Bearer "+testToken)
				}
				w := call(s, "GET", tt.target, "", headers...)
				golden(t, tt.file, w.Body.Bytes())
				for _, bad := range []string{"<script>", " style=", " onclick=", "http-equiv=\"refresh\" content=\"0"} {
					if strings.Contains(w.Body.String(), bad) {
						t.Errorf("the page has %q, which its policy forbids or its data wrote", bad)
					}
				}
			})
		})
	}
}

func redisDown(cfg *Config) {
	errs := map[string]error{}
	for _, job := range cfg.Spec.Jobs {
		errs[job.Name] = errors.New("dial tcp 127.0.0.1:6379: connect: connection refused")
	}
	cfg.Ledger, cfg.Sampler, cfg.Enqueuer = fakeLedger{errs: errs}, fakeSampler{errs: errs}, &fakeQueue{failAt: 1}
}

func TestWarmButton(t *testing.T) {
	queue := &fakeQueue{}
	s := newServer(t, func(cfg *Config) { cfg.Enqueuer = queue })
	w := call(s, "POST", "/jobs/product/warm", "", asForm, asBrowser)
	wantStatus(t, w, http.StatusSeeOther)
	wantHeader(t, w, "Location", "/?asked=product")
	w = call(s, "POST", "/jobs/product/warm", "from=job", asForm, asBrowser)
	wantHeader(t, w, "Location", "/jobs/product?asked=product")
	wantStatus(t, call(s, "POST", "/jobs/nope/warm", "", asForm, asBrowser), http.StatusNotFound)
	if len(queue.tasks) != 2 {
		t.Fatalf("%d tasks, want 2", len(queue.tasks))
	}
	run, err := jobs.ParseRun(queue.tasks[0])
	if want := (jobs.Run{Job: "product", Cause: jobs.CauseAPI}); err != nil || run != want {
		t.Errorf("run is %+v, %v", run, err)
	}
	wantBody(t, call(s, "GET", "/?asked=product", "", asBrowser), "A run of product is on the queue")
	// Only the names of jobs come through.
	if w := call(s, "GET", "/?asked=Your+session+ended", "", asBrowser); strings.Contains(w.Body.String(),
		"notice good") {
		t.Error("a link can put words on the page")
	}
}

func TestWarmButtonRedisDown(t *testing.T) {
	s := newServer(t, redisDown)
	w := call(s, "POST", "/jobs/product/warm", "", asForm, asBrowser)
	wantStatus(t, w, http.StatusServiceUnavailable)
	wantBody(t, w, "connection refused", "try again", "Back to the jobs")
}

func TestPageRedisDown(t *testing.T) {
	s := newServer(t, redisDown)
	w := call(s, "GET", "/", "", asBrowser)
	wantStatus(t, w, http.StatusOK)
	if n := strings.Count(w.Body.String(), "connection refused"); n != 1 {
		t.Errorf("the outage is told %d times, want once", n)
	}
	wantStatus(t, call(s, "GET", "/jobs/product", "", asBrowser), http.StatusOK)
}
