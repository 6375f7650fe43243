package checker

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// traffic is how a proxy treats what passes.
type traffic struct {
	delay, jitter time.Duration
	hold          bool // nothing passes until it is let go, then all of it
	lose          bool // half open: nothing passes, and nobody is told
	cut           bool // connections are closed, new ones refused
}

// proxy stands between one daemon and one server.
type proxy struct {
	listener net.Listener
	target   string
	pumps    sync.WaitGroup

	mu      sync.Mutex
	rule    traffic
	changed chan struct{} // closed with each new rule
	conns   map[net.Conn]struct{}
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	p.pumps.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set gives a new rule. Connections that have lost something cannot go on: they
// are closed when the rule ends that lost it.
func (p *proxy) set(rule traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rule.cut || p.rule.lose {
		for c := range p.conns {
			c.Close()
		}
	}
	p.rule = rule
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) close() {
	p.listener.Close()
	p.set(traffic{cut: true})
	p.pumps.Wait()
}

func (p *proxy) now() (traffic, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rule, p.changed
}

// keep remembers a connection, or closes it if it may not be.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule.cut {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(near) {
			continue
		}
		far, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(far) {
			p.drop(near)
			continue
		}
		p.pumps.Go(func() { p.pump(far, near) })
		p.pumps.Go(func() { p.pump(near, far) })
	}
}

// pump carries what comes from one side to the other until either ends.
func (p *proxy) pump(to, from net.Conn) {
	defer p.drop(to)
	defer p.drop(from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.pass() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits as long as the rule says, and reports whether anything arrives.
func (p *proxy) pass() bool {
	for {
		rule, changed := p.now()
		if rule.hold {
			<-changed
			continue
		}
		if rule.delay > 0 {
			time.Sleep(rule.delay + rand.N(rule.jitter+1))
		}
		return !rule.lose
	}
}
