package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

func TestCheckListen(t *testing.T) {
	tests := []struct {
		listen, token string
		says          string // "" when it is allowed
	}{
		{"127.0.0.1:8080", "", ""},
		{"127.8.9.1:0", "", ""},
		{"[::1]:8080", "", ""},
		{"[::ffff:127.0.0.1]:8080", "", ""},
		{"localhost:8080", "", ""},
		{"0.0.0.0:8080", "", "admin.token is empty"},
		{":8080", "", "listen on 127.0.0.1"},
		{"[::]:8080", "", "admin.token is empty"},
		{"192.168.1.5:8080", "", "admin.token is empty"},
		{"stoker.internal:8080", "", "admin.token is empty"},
		{"0.0.0.0:8080", testToken, ""},
		{"8080", testToken, "is not host:port"},
	}
	for _, tt := range tests {
		err := CheckListen(jobs.Admin{Listen: tt.listen, Token: jobs.NewSecret(tt.token)})
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("CheckListen(%s, token %q) is %v, want %q", tt.listen, tt.token, err, tt.says)
		}
	}
	spec := newSpec(t)
	spec.Admin.Listen = ":8080"
	if _, err := New(Config{Spec: spec, Ledger: fakeLedger{}, Enqueuer: &fakeQueue{}}); err == nil {
		t.Error("New takes a spec that CheckListen refuses")
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New takes an empty Config")
	}
}

func TestHostHeader(t *testing.T) {
	tests := []struct {
		host   string
		token  bool
		status int
	}{
		{"127.0.0.1:8080", false, 200},
		{"127.0.0.1", false, 200},
		{"[::1]:8080", false, 200},
		{"[::1]", false, 200},
		{"localhost:9999", false, 200},
		{"LOCALHOST.", false, 200},
		{"stoker.localhost", false, 200},
		{"stoker-host:8080", false, 200}, // the name in admin.listen
		{"evil.example:8080", false, 403},
		{"localhost.evil.example", false, 403},
		{"127.0.0.1.evil.example", false, 403},
		{"192.168.1.5:8080", false, 403},
		{"", false, 403},
		{"evil.example:8080", true, 200},
	}
	for _, tt := range tests {
		s := newServer(t, func(cfg *Config) {
			if tt.token {
				withToken(cfg)
			}
		})
		s.cfg.Spec.Admin.Listen = "stoker-host:8080"
		s.handler = s.gates(s.routes())
		headers := []string{"Host: " + tt.host, "Authorization: Bearer " + testToken}
		if w := call(s, "GET", "/api/v1/jobs", "", headers...); w.Code != tt.status {
			t.Errorf("Host %q with token %v: status %d, want %d: %s", tt.host, tt.token, w.Code, tt.status, w.Body)
		}
		if w := call(s, "GET", "/livez", "", headers...); w.Code != 200 {
			t.Errorf("Host %q: a probe is answered with %d", tt.host, w.Code)
		}
	}
}

// newQueues returns a server with the dashboard over a private Redis that has
// one queue.
func newQueues(t *testing.T, change func(*Config)) (*Server, *miniredis.Miniredis) {
	t.Helper()
	redis := miniredis.RunT(t)
	opt := asynq.RedisClientOpt{Addr: redis.Addr()}
	client := asynq.NewClient(opt)
	defer client.Close()
	if _, err := client.Enqueue(jobs.NewRun("product", jobs.CauseCommand)); err != nil {
		t.Fatal(err)
	}
	return newServer(t, func(cfg *Config) {
		cfg.Queue = opt
		if change != nil {
			change(cfg)
		}
	}), redis
}

const pause = "/queues/api/queues/stoker-run:pause"

func TestCrossOrigin(t *testing.T) {
	s, redis := newQueues(t, func(cfg *Config) { cfg.Spec.Admin.QueuesWrite = true })
	targets := []string{pause, "/api/v1/jobs/product/warm", "/api/v1/jobs/product/invalidate", "/jobs/product/warm",
		"/login", "/logout"}
	refused := [][]string{
		{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"},
		{"Origin: https://evil.example"},
		{"Origin: http://127.0.0.1:9999"}, // another port is another origin
		{"Origin: null"},
		{"Sec-Fetch-Site: same-site"},
	}
	for _, target := range targets {
		for _, headers := range refused {
			w := call(s, "POST", target, `{"all":true}`, headers...)
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another origin") {
				t.Errorf("POST %s with %q: status %d, %s", target, headers, w.Code, w.Body)
			}
		}
	}
	if redis.Exists("asynq:{stoker-run}:paused") || len(s.cfg.Enqueuer.(*fakeQueue).tasks) > 0 {
		t.Error("a refused request did something")
	}
	for _, headers := range [][]string{
		nil, // no browser
		{"Origin: http://" + testHost, "Sec-Fetch-Site: same-origin"},
		{"Origin: http://" + testHost},
		{"Sec-Fetch-Site: none"},
	} {
		wantStatus(t, call(s, "POST", "/api/v1/jobs/product/warm", "", headers...), http.StatusAccepted)
	}
	wantStatus(t, call(s, "GET", "/", "", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), http.StatusOK)
}

func TestQueues(t *testing.T) {
	s, redis := newQueues(t, nil)
	w := call(s, "GET", "/queues/", "", asBrowser)
	wantStatus(t, w, http.StatusOK)
	wantBody(t, w, "Asynq")
	wantHeader(t, w, "Content-Security-Policy", queuesPolicy)
	w = call(s, "GET", "/queues/api/queues", "")
	wantStatus(t, w, http.StatusOK)
	wantBody(t, w, "stoker-run")
	w = call(s, "GET", "/queues/api/queues/stoker-run/pending_tasks?size=20&page=1", "")
	wantStatus(t, w, http.StatusOK)
	wantBody(t, w, "stoker:run")
	for _, size := range []string{"0", "-5", "100000000"} {
		wantStatus(t, call(s, "GET", "/queues/api/queues/stoker-run/pending_tasks?size="+size, ""),
			http.StatusBadRequest)
	}
	wantStatus(t, call(s, "GET", "/queues", "", asBrowser), http.StatusTemporaryRedirect)

	wantStatus(t, call(s, "POST", pause, ""), http.StatusMethodNotAllowed)
	if redis.Exists("asynq:{stoker-run}:paused") {
		t.Error("a read-only dashboard paused a queue")
	}
	s, redis = newQueues(t, func(cfg *Config) { cfg.Spec.Admin.QueuesWrite = true })
	wantStatus(t, call(s, "POST", pause, ""), http.StatusNoContent)
	if !redis.Exists("asynq:{stoker-run}:paused") {
		t.Error("a dashboard that may write did not pause the queue")
	}
}

func TestHeaders(t *testing.T) {
	s := newServer(t, withToken)
	for _, target := range []string{"/", "/api/v1/jobs", "/livez", "/login", "/static/style.css", "/nope"} {
		w := call(s, "GET", target, "", asBrowser)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Security-Policy": pagePolicy,
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		cache := "no-store"
		if strings.HasPrefix(target, "/static/") {
			cache = "public, max-age=31536000, immutable"
		}
		wantHeader(t, w, "Cache-Control", cache)
	}
	if strings.Contains(pagePolicy, "unsafe") {
		t.Error("our own pages allow something unsafe")
	}
}
