package checker

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stokerhq/stoker/store/testserver"
)

// daemon is a `stoker run` behind proxies of its own.
type daemon struct {
	w           *Cluster
	n           int
	listen      string
	spec, log   string // files
	toPostgres  *proxy
	toFeed      *proxy // the replication connection
	toRedis     *proxy
	toQueue     *proxy // toRedis, unless the queue has a Redis of its own
	http        http.Client
	roles       string
	environment []string

	mu    sync.Mutex
	proc  *process
	sums  map[string]float64 // metrics of those that have ended
	lasts map[string]float64 // of the one that runs
}

func (w *Cluster) startDaemons() error {
	for n, roles := range w.o.Roles {
		d := &daemon{w: w, n: n, roles: roles, sums: make(map[string]float64),
			http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * time.Second},
			log:  filepath.Join(w.dir, fmt.Sprintf("daemon%d.log", n)),
			spec: filepath.Join(w.dir, fmt.Sprintf("daemon%d.yaml", n))}
		w.daemons = append(w.daemons, d)
		if err := d.prepare(); err != nil {
			return fmt.Errorf("prepare daemon %d: %w", n, err)
		}
		if n == 0 && w.o.Source == "outbox" {
			if err := d.install(); err != nil {
				return err
			}
		}
		if err := d.start(); err != nil {
			return err
		}
	}
	return nil
}

// binary is the one that the daemon runs.
func (d *daemon) binary() string {
	if d.w.o.Before != "" && d.n == d.w.o.BeforeAt {
		return d.w.o.Before
	}
	return d.w.o.Binary
}

// install makes the outbox, as a user does.
func (d *daemon) install() error {
	cmd := exec.Command(d.binary(), "outbox", "install", "--apply", "--config", d.spec)
	cmd.Env = d.environment
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install the outbox: %w\n%s", err, out)
	}
	return nil
}

// prepare makes the proxies and the spec.
func (d *daemon) prepare() (err error) {
	for p, target := range map[**proxy]string{&d.toPostgres: d.w.postgres.Addr(), &d.toFeed: d.w.postgres.Addr(),
		&d.toRedis: d.w.redis.Addr(), &d.toQueue: d.w.queue.Addr()} {
		if *p, err = newProxy(target); err != nil {
			return err
		}
	}
	if d.listen, err = testserver.FreeAddress(); err != nil {
		return err
	}
	d.environment = os.Environ()
	if d.w.o.Mutant != "" {
		d.environment = append(d.environment, "STOKER_MUTANT="+d.w.o.Mutant)
	}
	if d.w.o.Life > 0 {
		d.environment = append(d.environment, "STOKER_LIFE="+d.w.o.Life.String())
	}
	var text bytes.Buffer
	err = specText.Execute(&text, map[string]any{
		"Postgres": d.through(d.toPostgres), "Replication": d.through(d.toFeed), "Listen": d.listen,
		"Redis": "redis://" + d.toRedis.addr() + "/0", "Queue": "redis://" + d.toQueue.addr() + "/0",
		"Source": d.w.o.Source, "Slot": d.w.o.Slot, "Grace": d.w.o.Grace, "Jobs": d.w.o.jobs(),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(d.spec, text.Bytes(), 0o600)
}

// through is the URL of Postgres by way of a proxy.
func (d *daemon) through(p *proxy) string {
	u, err := url.Parse(d.w.postgres.URL("postgres"))
	if err != nil {
		panic(err) // private makes it
	}
	u.Host = p.addr()
	return u.String()
}

func (d *daemon) proxies() []*proxy { return []*proxy{d.toPostgres, d.toFeed, d.toRedis, d.toQueue} }

// start starts the daemon, if it does not run.
func (d *daemon) start() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc != nil && !d.proc.ended() {
		return nil
	}
	cmd := exec.Command(d.binary(), "run", "--config", d.spec, "--roles", d.roles)
	cmd.Env = d.environment
	d.proc, err = launch(cmd, d.log)
	return err
}

// kill is kill -9.
func (d *daemon) kill() {
	d.scrape()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc != nil {
		d.proc.kill()
	}
	for name, n := range d.lasts {
		d.sums[name] += n
	}
	d.lasts = nil
}

// pause stops the daemon in whatever it does; resume lets it go on.
func (d *daemon) pause()  { d.signal(syscall.SIGSTOP) }
func (d *daemon) resume() { d.signal(syscall.SIGCONT) }

func (d *daemon) signal(sig syscall.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc != nil && !d.proc.ended() {
		d.proc.signal(sig)
	}
}

func (d *daemon) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc != nil {
		d.proc.kill()
	}
	for _, p := range d.proxies() {
		if p != nil {
			p.close()
		}
	}
}

// call asks the daemon's API.
func (d *daemon) call(ctx context.Context, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+d.listen+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	return resp.StatusCode, text.Bytes(), err
}
