package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestServe(t *testing.T) {
	s, _ := newQueues(t, nil)
	ln := listen(t, "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/", "/livez", "/queues/api/queues"} {
		resp, err := client.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		if body := closed(t, resp); resp.StatusCode != 200 {
			t.Errorf("GET %s: %d, %s", path, resp.StatusCode, body)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
	if _, err := client.Get("http://" + ln.Addr().String() + "/livez"); err == nil {
		t.Error("the listener is still open")
	}
}

func TestShutdownEndsServe(t *testing.T) {
	s := newServer(t, nil)
	ln := listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), ln) }()
	resp, err := http.DefaultClient.Get("http://" + ln.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	closed(t, resp)
	http.DefaultClient.CloseIdleConnections()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
}

// A request that has begun ends when Serve's context is done.
func TestServeDrains(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(cfg *Config) {
		cfg.Ready = func(ctx context.Context) error {
			close(begun)
			<-release
			return ctx.Err()
		}
	})
	ln := listen(t, "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	served, answer := make(chan error, 1), make(chan string, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	go func() {
		resp, err := http.DefaultClient.Get("http://" + ln.Addr().String() + "/readyz")
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- closed(t, resp)
	}()
	<-begun
	stop()
	close(release)
	if got := <-answer; got != "ready\n" {
		t.Errorf("the request that had begun got %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// The spec may say loopback and the caller pass another listener.
func TestServeRefusesOpenListener(t *testing.T) {
	s := newServer(t, nil)
	ln := listen(t, "0.0.0.0:0")
	err := s.Serve(t.Context(), ln)
	if err == nil || !strings.Contains(err.Error(), "admin.token is empty") {
		t.Errorf("Serve on all addresses without a token: %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("the refused listener is left open")
	}
}

func TestReadyz(t *testing.T) {
	var reason error
	s := newServer(t, func(cfg *Config) { cfg.Ready = func(context.Context) error { return reason } })
	wantStatus(t, call(s, "GET", "/readyz", ""), http.StatusOK)
	reason = errors.New("redis does not answer")
	w := call(s, "GET", "/readyz", "")
	wantStatus(t, w, http.StatusServiceUnavailable)
	wantBody(t, w, "not ready: redis does not answer")
	wantStatus(t, call(s, "GET", "/livez", ""), http.StatusOK)
}

func TestServerTimeouts(t *testing.T) {
	h := newServer(t, nil).http
	for name, d := range map[string]time.Duration{
		"ReadHeaderTimeout": h.ReadHeaderTimeout, "ReadTimeout": h.ReadTimeout, "WriteTimeout": h.WriteTimeout,
		"IdleTimeout": h.IdleTimeout,
	} {
		if d <= 0 {
			t.Errorf("%s is not set", name)
		}
	}
}
