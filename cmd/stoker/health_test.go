package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/probe"
)

// Broken by: a probe that looks at the connection alone.
func TestHealth(t *testing.T) {
	answers := map[string]int{"/livez": 200, "/readyz": 503}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answers[r.URL.Path])
		_, _ = w.Write([]byte("redis: connection refused"))
	}))
	defer server.Close()
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		output string
	}{
		{"not ready", []string{"--url", server.URL}, exitFailed, "not healthy: redis: connection refused"},
		{"a slash at the end", []string{"--url", server.URL + "/"}, exitFailed, "not healthy: redis"},
		{"alive", []string{"--url", server.URL, "--live"}, exitOK, "livez: ok"},
		{"no daemon", []string{"--url", "http://" + freeAddress(t)}, exitFailed, "no daemon answers"},
		{"no scheme", []string{"--url", "127.0.0.1:8080"}, exitWrong, "write it as http://127.0.0.1:8080"},
		{"no spec", []string{"--config", "/nonexistent/stoker.yaml"}, exitWrong, "stoker.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, nil, append([]string{"health"}, tt.args...)...)
			<-p.done
			if got := p.cmd.ProcessState.ExitCode(); got != tt.status || !strings.Contains(p.log.String(), tt.output) {
				t.Errorf("exit status %d, want %d; %s", got, tt.status, p.log)
			}
		})
	}
}

func TestLoopbackURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://127.0.0.1:8080",
		":8080":          "http://127.0.0.1:8080",
		"[::]:8080":      "http://[::1]:8080",
		"10.0.0.7:80":    "http://10.0.0.7:80",
		"stoker:80":      "http://stoker:80",
	} {
		if got := probe.LoopbackURL(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

// The daemon reports its states to systemd in order, and serves the watchdog while it runs.
//
// Broken by: READY before the workers run; a watchdog that stays silent; a reload of which only the end is reported,
// or one that is refused without READY, for which systemctl would wait.
func TestSystemdIsNotified(t *testing.T) {
	vars, spec := newTicks(t)
	socket := filepath.Join(reachable(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	vars["NOTIFY_SOCKET"], vars["WATCHDOG_USEC"] = socket, "400000"
	d := start(t, vars, "run", "--config", spec, "--reload=false")
	next := func() string {
		buf := make([]byte, 1024)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	if got := next(); got != "READY=1\nSTATUS=2 jobs, roles scheduler, worker, changes, admin" {
		t.Errorf("first: %q", got)
	}
	h := start(t, vars, "health", "--config", spec)
	if <-h.done; h.cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("health of a daemon that has reported READY: %s", h.log)
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("then: %q", got)
		}
	}
	reload := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		var states []string
		for len(states) == 0 || !strings.HasPrefix(states[len(states)-1], "READY=1\n") {
			if got := next(); got != "WATCHDOG=1" {
				states = append(states, got)
			}
		}
		if len(states) != 2 || !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d{5,}$`).MatchString(states[0]) ||
			!strings.Contains(states[1], want) {
			t.Errorf("at a reload: %q, want RELOADING and then READY with %s", states, want)
		}
	}
	reload(strings.Replace(tickSpec, "name: slow", "nam: slow", 1), "the one before goes on: "+spec+":6:6: ")
	reload(tickSpec+"  - {name: more, key: \"m:{id}\", query: SELECT 1 AS id}\n", "STATUS=3 jobs, roles ")
	stopped := make(chan int)
	go func() { stopped <- d.stop(syscall.SIGTERM) }()
	var states []string
	for len(states) == 0 || !strings.HasPrefix(states[len(states)-1], "STOPPING=1\n") {
		states = append(states, next())
	}
	if rest := slices.DeleteFunc(states, func(s string) bool { return s == "WATCHDOG=1" }); len(rest) != 1 {
		t.Errorf("at the end: %q", rest)
	}
	if status := <-stopped; status != exitOK {
		t.Errorf("exit status %d", status)
	}
}
