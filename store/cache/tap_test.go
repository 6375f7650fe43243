package cache

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Tap lies on the connections of a client, and on the wires that are made for it.
type Tap struct {
	BeforeExec func()       // called when a transaction is about to be sent
	Execs      atomic.Int64 // transactions that were sent
	Aborts     atomic.Int64 // that Redis did not execute
	Blind      atomic.Bool  // no WATCH comes through
}

// Client returns a client whose connections are tapped.
func (p *Tap) Client(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	dial := redis.NewDialer(o)
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &tapped{conn, p}, err
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

type tapped struct {
	net.Conn
	tap *Tap
}

var (
	multi    = []byte("\r\nMULTI\r\n")
	watch    = []byte("\r\nWATCH\r\n")
	harmless = []byte("\r\nTOUCH\r\n") // of the same length, and of as many arguments
	aborted  = []byte("*-1\r\n")
)

func (c *tapped) Write(b []byte) (int, error) {
	if bytes.Contains(b, multi) {
		c.tap.Execs.Add(1)
		if c.tap.BeforeExec != nil {
			c.tap.BeforeExec()
		}
	}
	if c.tap.Blind.Load() {
		b = bytes.ReplaceAll(b, watch, harmless)
	}
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.Aborts.Add(int64(bytes.Count(b[:n], aborted))) // no value of a test is read by wire
	return n, err
}
