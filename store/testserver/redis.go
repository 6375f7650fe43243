package testserver

import (
	"bufio"
	"context"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis is a private Redis server without persistence.
type Redis struct {
	Server
}

// StartRedis starts a Redis server on a free port. Arguments are added to its
// command line, as "--maxmemory", "64mb".
func StartRedis(ctx context.Context, args ...string) (*Redis, error) {
	program, err := redisProgram()
	if err != nil {
		return nil, err
	}
	o, err := findOwner()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("redis", o)
	if err != nil {
		return nil, err
	}
	r := &Redis{Server{
		name: "redis", dir: dir, owner: o,
		soft: syscall.SIGTERM, hard: syscall.SIGKILL,
		ready: redisReady,
		argv: func(s *Server) []string {
			return append([]string{program, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
				"--save", "", "--appendonly", "no", "--databases", "1024", "--daemonize", "no"}, args...)
		},
	}}
	if err := startOnFreePort(ctx, &r.Server); err != nil {
		return nil, err
	}
	return r, nil
}

// URL is the go-redis URL of a logical database, 0 to 255.
func (r *Redis) URL(db int) string { return "redis://" + r.Addr() + "/" + strconv.Itoa(db) }

// Port is where the server listens, for a redis-cli line.
func (r *Redis) Port() int { return r.port }

// redisReady speaks the one inline command that needs no client library.
func redisReady(ctx context.Context, s *Server) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return false
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}
