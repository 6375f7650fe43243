package testserver

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// SentinelMaster is the name under which a private Sentinel knows its master.
const SentinelMaster = "stoker"

// Sentinel is a private Redis Sentinel.
type Sentinel struct {
	Server
}

// StartSentinel starts a Sentinel that watches a master and its replicas. It takes the master for down after a second,
// and as many Sentinels as the quorum must agree.
func StartSentinel(ctx context.Context, master *Redis, quorum int) (*Sentinel, error) {
	program, err := redisProgram()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("sentinel", master.owner)
	if err != nil {
		return nil, err
	}
	s := &Sentinel{Server{
		name: "sentinel", dir: dir, owner: master.owner,
		soft: syscall.SIGTERM, hard: syscall.SIGKILL,
		ready: redisReady,
		argv: func(s *Server) []string {
			return []string{program, filepath.Join(s.dir, "sentinel.conf"), "--sentinel",
				"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1"}
		},
	}}
	if err := s.configure(master, quorum); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := startOnFreePort(ctx, &s.Server); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is the go-redis URL of a logical database of the master that Sentinels know now.
func (s *Sentinel) URL(db int, others ...*Sentinel) string {
	query := url.Values{"master_name": {SentinelMaster}}
	for _, other := range others {
		query.Add("addr", other.Addr())
	}
	return "redis://" + s.Addr() + "/" + strconv.Itoa(db) + "?" + query.Encode()
}

// configure writes the file that the Sentinel keeps its state in.
func (s *Sentinel) configure(master *Redis, quorum int) error {
	text := fmt.Sprintf(`dir %[1]s
sentinel monitor %[2]s 127.0.0.1 %[3]d %[4]d
sentinel down-after-milliseconds %[2]s 1000
sentinel failover-timeout %[2]s 5000
`, s.dir, SentinelMaster, master.port, quorum)
	path := filepath.Join(s.dir, "sentinel.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configure private sentinel: %w", err)
	}
	if err := s.owner.give(path); err != nil {
		return fmt.Errorf("configure private sentinel: %w", err)
	}
	return nil
}
