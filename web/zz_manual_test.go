package web

import (
	"net"
	"os"
	"os/signal"
	"testing"
	"time"
	"github.com/prometheus/client_golang/prometheus"
)

func TestManual(t *testing.T) {
	if os.Getenv("MANUAL") == "" {
		t.Skip()
	}
	mk := func(addr string, change func(*Config)) {
		s, _ := newQueues(t, func(cfg *Config) {
			cfg.Ledger, cfg.Sampler = sample(time.Now())
			cfg.Gatherer = prometheus.NewRegistry()
			if change != nil { change(cfg) }
		})
		ln, err := net.Listen("tcp", addr)
		if err != nil { t.Fatal(err) }
		go s.Serve(t.Context(), ln)
	}
	mk("127.0.0.1:18431", nil)
	mk("127.0.0.1:18432", withToken)
	mk("127.0.0.1:18433", redisDown)
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	<-c
}
