package checker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/testserver"
)

// neighbour is a daemon of another spec, in a namespace of its own on the same Redis servers: its job is named as one
// of the checked ones, its database is another one. Whatever befalls the servers, its keys come to equal its table; and
// when it leaves, all of its own goes and nothing of others.
type neighbour struct {
	w        *Cluster
	name     string // of the namespace, and of the database
	source   string
	spec     string // file
	proc     *process
	database string // URL
}

const neighbourRows = 50

// startNeighbours starts them if Options.Neighbours says so.
func (w *Cluster) startNeighbours(ctx context.Context) error {
	if !w.o.Neighbours {
		return nil
	}
	for name, source := range map[string]string{"north": "wal", "south": "outbox"} {
		n := &neighbour{w: w, name: name, source: source, spec: filepath.Join(w.dir, name+".yaml")}
		w.neighbours = append(w.neighbours, n)
		if err := n.prepare(ctx); err != nil {
			return fmt.Errorf("prepare the neighbour %s: %w", name, err)
		}
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

var neighbourText = template.Must(template.New("spec").Parse(`namespace: {{.Name}}
postgres: {url: "{{.Postgres}}", max_connections: 4}
redis: {url: "{{.Redis}}", queue_url: "{{.Queue}}"}
admin: {listen: "{{.Listen}}"}
changes: {source: {{.Source}}}
defaults: {ttl: 6h, timeout: 1m, stale_grace: 1s, shrink_guard: 100%}
jobs:
  - name: item
    query: SELECT id, v FROM item
    key: "{{.Name}}:item:{id}"
    watch: [{table: item}]
    schedule: "@every 3s"
`))

func (n *neighbour) prepare(ctx context.Context) error {
	n.database = n.w.postgres.URL(n.name)
	if err := n.w.exec(ctx, "CREATE DATABASE "+n.name); err != nil {
		return err
	}
	if err := execAt(ctx, n.database, "CREATE TABLE item (id int PRIMARY KEY, v int)", fmt.Sprintf(
		"INSERT INTO item SELECT i, 0 FROM generate_series(1, %d) i", neighbourRows)); err != nil {
		return err
	}
	listen, err := testserver.FreeAddress()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := neighbourText.Execute(&text, map[string]any{"Name": n.name, "Postgres": n.database, "Listen": listen,
		"Source": n.source, "Redis": n.w.redis.URL(0), "Queue": n.w.queue.URL(0)}); err != nil {
		return err
	}
	if err := os.WriteFile(n.spec, text.Bytes(), 0o600); err != nil || n.source != "outbox" {
		return err
	}
	return n.command(ctx, "outbox", "install", "--apply")
}

// command runs a command of Stoker with the neighbour's spec.
func (n *neighbour) command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, n.w.o.Binary, append(args, "--config", n.spec)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (n *neighbour) log() string { return strings.TrimSuffix(n.spec, ".yaml") + ".log" }

func (n *neighbour) start() (err error) {
	n.proc, err = launch(exec.Command(n.w.o.Binary, "run", "--config", n.spec), n.log())
	return err
}

// write changes rows until ctx ends. What fails, fails because of a fault.
func (n *neighbour) write(ctx context.Context) {
	var conn *pgx.Conn
	for i := 0; pause(ctx, 10*time.Millisecond); i++ {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		var err error
		if conn == nil || conn.IsClosed() {
			conn, err = pgx.Connect(limited, n.database)
		}
		if err == nil {
			_, err = conn.Exec(limited, "UPDATE item SET v = v + 1 WHERE id = $1", i%neighbourRows+1)
		}
		cancel()
		if err != nil {
			n.w.trouble("neighbour", err)
		} else {
			n.w.count("writes of neighbours", 1)
		}
	}
	if conn != nil {
		conn.Close(context.WithoutCancel(ctx))
	}
}

// differs compares its keys with its table; "" if they are equal.
func (n *neighbour) differs(ctx context.Context) string {
	conn, err := pgx.Connect(ctx, n.database)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT 'item:' || id, row_to_json(item)::text FROM item")
	if err != nil {
		return err.Error()
	}
	var key, want string
	_, err = pgx.ForEachRow(rows, []any{&key, &want}, func() error {
		if got := n.w.cache.Get(ctx, n.name+":"+key).Val(); got != want {
			return fmt.Errorf("%s:%s is %q, Postgres says %s", n.name, key, got, want)
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return ""
}

// leave ends the daemon in order, and has its namespace purged: no key of it may be left.
func (n *neighbour) leave(ctx context.Context) error {
	n.proc.signal(syscall.SIGTERM)
	<-n.proc.done
	if err := n.command(ctx, "purge", "--yes", "--values"); err != nil {
		return err
	}
	for _, server := range []string{n.w.redis.URL(0), n.w.queue.URL(0)} {
		o, err := redis.ParseURL(server)
		if err != nil {
			return err
		}
		c := redis.NewClient(o)
		keys, err := c.Keys(ctx, "*"+n.name+"*").Result()
		if c.Close(); err != nil {
			return err
		}
		if len(keys) > 0 {
			n.w.find("I10", "the namespace %s was purged, and there are %v", n.name, keys[:min(5, len(keys))])
		}
	}
	n.w.count("purges", 1)
	return nil
}

// ofNeighbour reports whether a key is of a neighbour.
func (w *Cluster) ofNeighbour(key string) bool {
	for _, n := range w.neighbours {
		if strings.HasPrefix(key, n.name+":") {
			return true
		}
	}
	return false
}

// writeBeside has the neighbours change their tables until ctx ends.
func (w *Cluster) writeBeside(ctx context.Context, all *sync.WaitGroup) {
	for _, n := range w.neighbours {
		all.Go(func() { n.write(ctx) })
	}
}

// finishBeside holds the neighbours to their tables when all is quiet; then the first of them leaves and comes again.
func (w *Cluster) finishBeside(ctx context.Context, limit time.Duration) error {
	for _, n := range w.neighbours {
		var diff string
		for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
			if diff = n.differs(ctx); diff == "" || time.Now().After(deadline) || ctx.Err() != nil {
				break
			}
		}
		if diff != "" && ctx.Err() == nil {
			w.find("I1", "of a neighbour, %s after all is quiet: %s", limit, diff)
		}
		if n.proc.ended() {
			w.find("I7", "the neighbour %s has ended by itself", n.name)
			return nil
		}
	}
	if len(w.neighbours) == 0 || ctx.Err() != nil {
		return nil
	}
	first := w.neighbours[0]
	if err := first.leave(ctx); err != nil {
		return fmt.Errorf("the neighbour %s leaves: %w", first.name, err)
	}
	return first.start()
}

func (w *Cluster) closeNeighbours() {
	for _, n := range w.neighbours {
		if n.proc != nil {
			n.proc.kill()
		}
	}
}
