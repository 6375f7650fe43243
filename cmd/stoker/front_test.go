package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// front is an address that leads to a server, and can be made to lead to another
// one, as a name or a proxy of a failover is.
type front struct {
	address string
	forward func(out io.Writer, in io.Reader) // passes on what a client says

	mu     sync.Mutex
	server string
	conns  map[net.Conn]bool
}

func newFront(t *testing.T, server string, forward func(io.Writer, io.Reader)) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{address: l.Addr().String(), server: server, forward: forward, conns: make(map[net.Conn]bool)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { f.pass(in) })
		}
	})
	t.Cleanup(func() { l.Close(); f.leadTo(""); all.Wait() })
	return f
}

// leadTo breaks every connection off; new ones lead to that server.
func (f *front) leadTo(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = server
	for conn := range f.conns {
		conn.Close()
	}
}

// pass passes one connection on, until either side ends it.
func (f *front) pass(in net.Conn) {
	defer in.Close()
	f.mu.Lock()
	server := f.server
	f.conns[in] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, in)
	}()
	out, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { io.Copy(in, out); in.Close() })
	defer back.Wait()
	defer out.Close()
	f.forward(out, in)
}

func copyAll(out io.Writer, in io.Reader) { io.Copy(out, in) }
