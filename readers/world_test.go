package readers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

const doubleToken = "a-token-of-the-tests"

// world is what a reader under test lives in: a Redis behind a link that can break, and a double of Stoker's API.
type world struct {
	t      *testing.T
	url    string // of the reader
	client *http.Client
	server *testserver.Redis
	redis  *redis.Client // of the case's database
	other  *redis.Client
	link   *link
	stoker *httptest.Server
	double atomic.Pointer[stokerDouble]
	rings  atomic.Int64
	mu     sync.Mutex
	holds  map[string]string // what Redis should hold
}

// stokerDouble is how Stoker answers POST .../refresh.
type stokerDouble struct {
	Rows   map[string]string `json:"rows"`   // it loads these
	Delay  int               `json:"ms"`     // before it answers
	State  string            `json:"state"`  // it says so, and loads nothing
	Status int               `json:"status"` // it refuses
	Text   string            `json:"text"`   // it says something else
}

func newWorld(t *testing.T, url string) *world {
	w := &world{t: t, url: url, server: storetest.OwnRedis(t),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}}
	w.link = newLink(t, w.server.Addr())
	w.stoker = httptest.NewServer(http.HandlerFunc(w.serveDouble))
	t.Cleanup(func() {
		w.command("/-/case", map[string]any{})
		w.client.CloseIdleConnections()
		w.stoker.Close()
	})
	return w
}

// prepare makes the world of a case, and a reader in it.
func (w *world) prepare(c conformanceCase) {
	ctx := w.t.Context()
	w.link.turn("up")
	w.redis = redis.NewClient(&redis.Options{Addr: w.server.Addr(), DB: c.DB})
	w.other = redis.NewClient(&redis.Options{Addr: w.server.Addr(), DB: c.DB + 1})
	if err := w.redis.FlushAll(ctx).Err(); err != nil {
		w.t.Fatal(err)
	}
	w.holds = make(map[string]string)
	for key, value := range c.Redis {
		w.set(key, value, c.TTL)
	}
	for key, value := range c.RedisBase64 {
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.set(key, string(text), 0)
	}
	for key, value := range c.Others {
		if err := w.other.Set(ctx, key, value, 0).Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.double.Store(c.Stoker)
	w.rings.Store(0)
	options := map[string]any{"redis_url": w.redisURL(c.DB), "redis": c.Redis, "token": doubleToken,
		"timeout_ms": 10_000, "pool_wait_ms": 10_000} // a busy machine is no Redis that is down
	if c.Rows != nil {
		options["rows"] = c.Rows
	}
	for name, value := range c.Reader {
		options[name] = value
	}
	switch string(c.Reader["stoker"]) {
	case "true":
		options["stoker"] = w.stoker.URL + "/"
	case `"closed"`:
		options["stoker"] = "http://127.0.0.1:1"
	}
	w.command("/-/case", options)
}

// redisURL leaves out the default database, as people do.
func (w *world) redisURL(db int) string {
	if db == 0 {
		return "redis://" + w.link.address
	}
	return fmt.Sprintf("redis://%s/%d", w.link.address, db)
}

// finish closes the reader and says what it has left behind.
func (w *world) finish() (faults []string) {
	w.link.turn("up")
	w.command("/-/case", map[string]any{})
	defer w.redis.Close()
	defer w.other.Close()
	holds, err := contents(w.t.Context(), w.redis)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !maps.Equal(holds, w.holds) {
		faults = append(faults, fmt.Sprintf("the reader has changed Redis: it holds %q, want %q", holds, w.holds))
	}
	for range 500 { // the peer of a connection that is closed learns it a little later
		if w.link.open.Load() == 0 {
			return faults
		}
		time.Sleep(10 * time.Millisecond)
	}
	return append(faults, fmt.Sprintf("%d connections to Redis are open after close", w.link.open.Load()))
}

func (w *world) set(key, value string, ttl int) {
	if err := w.redis.Set(w.t.Context(), key, value, time.Duration(ttl)*time.Second).Err(); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds[key] = fmt.Sprintf("%s (expires: %v)", value, ttl > 0)
}

func (w *world) remove(key string) {
	if err := w.redis.Del(w.t.Context(), key).Err(); err != nil {
		w.t.Error(err)
	}
	delete(w.holds, key)
}

// command sends JSON to the reader's runner.
func (w *world) command(path string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.client.Post(w.url+path, "application/json", bytes.NewReader(text))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		w.t.Errorf("%s: %s %s, %v", path, resp.Status, text, err)
	}
}

func (w *world) loads() (n int) {
	resp, err := w.client.Get(w.url + "/-/loads")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// serveDouble answers as Stoker does, and writes what it loads as only Stoker may.
func (w *world) serveDouble(rw http.ResponseWriter, r *http.Request) {
	w.rings.Add(1)
	var body struct {
		Key map[string]string `json:"key"`
	}
	d := w.double.Load()
	err := json.NewDecoder(r.Body).Decode(&body)
	if err != nil || d == nil || r.Header.Get("Authorization") != "Bearer "+doubleToken || r.Method != http.MethodPost {
		http.Error(rw, "not as it should be", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(ms(d.Delay)):
	case <-r.Context().Done(): // the reader waits no longer
		return
	}
	row, key := "", ""
	switch r.URL.Path {
	case "/api/v1/jobs/product/refresh":
		row, key = body.Key["id"], "product:"+body.Key["id"]
	case "/api/v1/jobs/thing/refresh":
		row = body.Key["name"] + ":" + body.Key["size"]
		key = "{thing}:" + row
	}
	value, found := d.Rows[row]
	state := d.State
	switch {
	case d.Status != 0:
		rw.WriteHeader(d.Status)
	case state != "":
	case found:
		w.set(key, value, 0)
		state = "loaded"
	default:
		state = "absent"
	}
	if d.Text != "" {
		io.WriteString(rw, d.Text)
		return
	}
	json.NewEncoder(rw).Encode(map[string]string{"state": state})
}

// link leads to a Redis, and can be down or hang.
type link struct {
	address, server string
	open            atomic.Int64 // connections of the reader

	mu    sync.Mutex
	mode  string
	wake  chan struct{} // closed when mode changes
	conns map[net.Conn]bool
}

func newLink(t *testing.T, server string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{address: l.Addr().String(), server: server, mode: "up", wake: make(chan struct{}),
		conns: make(map[net.Conn]bool)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { k.pass(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); k.turn("down"); all.Wait() })
	return k
}

// turn changes how the link is: up, down (connections end, new ones too) or hang (nothing passes).
func (k *link) turn(mode string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mode = mode
	close(k.wake)
	k.wake = make(chan struct{})
	if mode == "down" {
		for conn := range k.conns {
			conn.Close()
		}
	}
}

// passes waits while the link hangs, and reports whether it is up.
func (k *link) passes() bool {
	for {
		k.mu.Lock()
		mode, wake := k.mode, k.wake
		k.mu.Unlock()
		if mode != "hang" {
			return mode == "up"
		}
		<-wake
	}
}

func (k *link) pass(in net.Conn) {
	k.open.Add(1)
	defer k.open.Add(-1)
	defer in.Close()
	k.mu.Lock()
	k.conns[in] = true
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.conns, in)
	}()
	if !k.passes() {
		return
	}
	out, err := net.Dial("tcp", k.server)
	if err != nil {
		return
	}
	defer out.Close()
	var back sync.WaitGroup
	back.Go(func() { k.copy(in, out); in.Close() })
	k.copy(out, in)
	out.Close()
	back.Wait()
}

// copy passes on what comes, while the link does.
func (k *link) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && k.passes() {
			_, werr := to.Write(buf[:n])
			if werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
