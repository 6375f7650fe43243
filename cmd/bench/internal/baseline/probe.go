package baseline

import (
	"context"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Probe is one commit, and how long it took to be readable.
type Probe struct {
	ID      int64         `json:"id"`
	Version int64         `json:"version"` // of the row; each change adds one
	Commit  time.Time     `json:"commit"`  // when it was acknowledged
	Took    time.Duration `json:"took_ns"` // from then until a GET returned this version or a later one
	Lost    bool          `json:"lost,omitempty"`
}

// ProbeLimit is when a commit counts as lost, and what it then counts as.
const ProbeLimit = 30 * time.Second

// probeSQL changes a product as others change it too: the version is its own.
const probeSQL = "UPDATE product SET stock = stock + 1 WHERE id = $1 RETURNING stock"

// Pauses between the commits of a probe that makes one at a time: a daemon is at
// rest by then, and no timer of its own keeps step.
const (
	shortestPause = 20 * time.Millisecond
	longestPause  = 80 * time.Millisecond
)

// probeConns is how many connections a probe with a rate commits on, so that it
// keeps its rate when one has to wait.
const probeConns = 4

// probe changes random rows and watches their keys, until it has made its
// commits, or, if it has no number of them, until ctx ends.
func probe(ctx context.Context, t Task) (Result, error) {
	p := &prober{task: t, begin: time.Now()}
	conns := 1
	if t.Rate > 0 {
		conns = probeConns
	}
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() { p.fail(p.commits(ctx, i, conns)) })
	}
	wg.Wait()
	p.watching.Wait()
	p.fail(p.close())
	return Result{Begin: p.begin, End: time.Now(), Keys: int64(len(p.probes)), Probes: p.probes}, p.err
}

// prober makes commits, and watches them.
type prober struct {
	task     Task
	begin    time.Time
	watching sync.WaitGroup

	mu     sync.Mutex
	probes []Probe
	free   []*caller // connections that nobody watches on
	err    error     // the first
}

// commits is what one of several connections commits. A statement is not cut off
// in the middle: what it did would not be known.
func (p *prober) commits(ctx context.Context, i, conns int) error {
	whole := context.WithoutCancel(ctx)
	conn, err := pgx.Connect(whole, p.task.Postgres)
	if err != nil {
		return err
	}
	defer conn.Close(whole)
	for n := i; (p.task.Commits == 0 || n < p.task.Commits) && p.wait(ctx, n) && !p.failed(); n += conns {
		c := Probe{ID: 1 + rand.Int64N(p.task.Keys)}
		if err := conn.QueryRow(whole, probeSQL, c.ID).Scan(&c.Version); err != nil {
			return err
		}
		c.Commit = time.Now()
		if p.task.Rate == 0 {
			err = p.watch(c)
		} else {
			p.watching.Go(func() { p.fail(p.watch(c)) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wait returns when commit n is due; false when ctx has ended. A rate is kept
// whatever the commits before it took.
func (p *prober) wait(ctx context.Context, n int) bool {
	pause := shortestPause + rand.N(longestPause-shortestPause)
	if p.task.Rate > 0 {
		pause = time.Until(p.begin.Add(time.Duration(float64(n) / p.task.Rate * float64(time.Second))))
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// A watcher beside others waits between two GETs: watching all the time, several
// would take the processors from what they watch. It waits longer the later the
// commit is already; so much of its lag is not known. One that is alone does watch
// all the time.
const (
	look      = time.Millisecond
	lookShare = 20 // a twentieth
)

// watch GETs the key of a commit until it shows it.
func (p *prober) watch(c Probe) error {
	conn, err := p.caller()
	if err != nil {
		return err
	}
	conn.key = strconv.AppendInt(append(conn.key[:0], p.task.Job.Prefix...), c.ID, 10)
	for {
		version, err := conn.version()
		if err != nil {
			return err
		}
		c.Took = time.Since(c.Commit)
		if c.Lost = c.Took > ProbeLimit; version >= c.Version || c.Lost {
			break
		}
		if p.task.Rate > 0 {
			time.Sleep(max(look, c.Took/lookShare))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, conn)
	p.probes = append(p.probes, c)
	return nil
}

// caller is a connection that watches nothing.
func (p *prober) caller() (*caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c, nil
	}
	return call(context.Background(), p.task.Redis)
}

func (p *prober) close() (err error) {
	for _, c := range p.free {
		err = c.conn.Close()
	}
	return err
}

func (p *prober) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *prober) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// version fetches c.key and returns the version in its value.
func (c *caller) version() (int64, error) {
	n, err := c.roundTrip()
	if err != nil {
		return 0, err
	}
	c.value = append(c.value[:0], make([]byte, n+len("\r\n"))...)
	if _, err := io.ReadFull(c.in, c.value); err != nil {
		return 0, err
	}
	return Version(string(c.value))
}
