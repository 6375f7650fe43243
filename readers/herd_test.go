package readers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// herdSpec is a job whose query takes 100 ms.
const herdSpec = `
postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs:
  - name: item
    query: SELECT id, name FROM item, pg_sleep(0.1)
    key: "item:{id}"
    ttl: 1h
`

const (
	herdLoad     = 100 // ms that the application's own query takes, too
	herdRequests = 50  // at once, a process
)

// A key expires while processes have fifty requests for it each: at most one query a process, and with the doorbell one
// in all. STOKER_HERD=200 makes it 200 processes. How long the requests took is printed; a busy machine decides that.
// Broken by: no single flight in a process, a doorbell that loads once a caller, a wait that is shorter than the load.
func TestHerd(t *testing.T) {
	t.Parallel()
	processes := 10
	if text := os.Getenv("STOKER_HERD"); text != "" {
		var err error
		if processes, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	python(t) // before the daemon is built
	d := startDaemon(t)
	for _, doorbell := range []bool{false, true} {
		before := d.refreshes()
		d.expire()
		h := d.herd(doorbell, processes)
		queries := int(d.refreshes() - before)
		t.Logf("%d processes x %d requests, doorbell %v: %d queries by readers, %d by Stoker; "+
			"p50 %s, p99 %s, longest %s; a load takes %d ms", processes, herdRequests, doorbell, h.loads, queries,
			h.quantile(0.5), h.quantile(0.99), h.quantile(1), herdLoad)
		source := "cold/load"
		if doorbell {
			source = "cold/doorbell"
			if queries != 1 || h.loads != 0 {
				t.Errorf("with the doorbell: %d queries by Stoker, %d by readers; want 1 and 0", queries, h.loads)
			}
		} else if h.most > 1 || queries != 0 {
			t.Errorf("%d loads of a process, and %d of Stoker; want 1 at most, and none", h.most, queries)
		}
		// a process that is late finds the key, if Stoker has loaded it
		if late := h.seen["hit/redis"]; h.seen[source]+late != processes*herdRequests || late > 0 && !doorbell {
			t.Errorf("doorbell %v: requests are %v, want all %s", doorbell, h.seen, source)
		}
	}
}

// herdDaemon is a real Stoker whose job is warm.
type herdDaemon struct {
	t       *testing.T
	url, rd string
	redis   *redis.Client
}

func startDaemon(t *testing.T) *herdDaemon {
	t.Helper()
	dir := t.TempDir()
	binary, spec := storetest.Stoker(t), filepath.Join(dir, "stoker.yaml")
	if err := os.WriteFile(spec, []byte(herdSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	d := &herdDaemon{t: t, url: "http://" + address, rd: storetest.Redis(t)}
	pg := storetest.Postgres(t)
	storetest.Exec(t, pg, "CREATE TABLE item AS SELECT 1 AS id, 'from the database' AS name")
	opt, err := redis.ParseURL(d.rd)
	if err != nil {
		t.Fatal(err)
	}
	d.redis = redis.NewClient(opt)
	var log strings.Builder
	cmd := exec.Command(binary, "run", "--config", spec)
	cmd.Env = append(os.Environ(), "PG="+pg, "RD="+d.rd, "LISTEN="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("stoker ended: %v\n%s", err, log.String())
		}
		kill.Stop()
		d.redis.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	for range 1200 {
		if n, err := d.redis.Exists(t.Context(), "item:1").Result(); err == nil && n == 1 && d.answers() {
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("stoker has not warmed the key")
	return nil
}

func (d *herdDaemon) answers() bool {
	resp, err := http.Get(d.url + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// expire ends the key, as its TTL would.
func (d *herdDaemon) expire() {
	d.t.Helper()
	if n, err := d.redis.Del(d.t.Context(), "item:1").Result(); err != nil {
		d.t.Fatalf("expire the key: %d, %v", n, err)
	}
}

// refreshes is how many refreshes Stoker has made.
func (d *herdDaemon) refreshes() float64 {
	d.t.Helper()
	resp, err := http.Get(d.url + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "stoker_refreshes_total{"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value[strings.LastIndex(value, " ")+1:]), 64)
			if err != nil {
				d.t.Fatal(err)
			}
			sum, found = sum+n, true
		}
	}
	if !found {
		d.t.Fatal("no stoker_refreshes_total in /metrics")
	}
	return sum
}

// herdSeen is what the processes of a herd saw.
type herdSeen struct {
	loads, most int // of all; of one process
	seen        map[string]int
	seconds     []float64 // sorted
}

func (h herdSeen) quantile(q float64) time.Duration {
	at := h.seconds[min(len(h.seconds)-1, int(q*float64(len(h.seconds))))]
	return time.Duration(at * float64(time.Second)).Round(time.Millisecond)
}

// herd has processes ask for the key at once.
func (d *herdDaemon) herd(doorbell bool, processes int) (h herdSeen) {
	d.t.Helper()
	cmd := exec.Command(python(d.t), "herd.py")
	cmd.Dir, cmd.Stderr = "python", os.Stderr
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	task := map[string]any{"processes": processes, "requests": herdRequests, "redis_url": d.rd, "load_ms": herdLoad,
		"wait_ms": 30_000, "stoker": ""}
	if doorbell {
		task["stoker"] = d.url
	}
	line, err := json.Marshal(task)
	if err != nil {
		d.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	fmt.Fprintf(in, "%s\n", line)
	if !lines.Scan() || lines.Text() != "ready" {
		d.t.Fatalf("the herd says %q", lines.Text())
	}
	fmt.Fprintln(in, "go")
	h.seen = make(map[string]int)
	for range processes {
		var one struct {
			Loads   int            `json:"loads"`
			Seen    map[string]int `json:"seen"`
			Seconds []float64      `json:"seconds"`
		}
		if !lines.Scan() {
			d.t.Fatal("a process of the herd has died")
		}
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			d.t.Fatalf("%v: %q", err, lines.Text())
		}
		h.loads, h.most = h.loads+one.Loads, max(h.most, one.Loads)
		h.seconds = append(h.seconds, one.Seconds...)
		for outcome, n := range one.Seen {
			h.seen[outcome] += n
		}
	}
	slices.Sort(h.seconds)
	return h
}
