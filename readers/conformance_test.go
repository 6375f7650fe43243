package readers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// conformanceCase is one of conformance.json: what is in Redis and in the database, how the reader is made, and what
// is done one after the other.
type conformanceCase struct {
	Name        string                     `json:"name"`
	Why         string                     `json:"why"`
	DB          int                        `json:"db"`
	TTL         int                        `json:"ttl"` // seconds; 0: none
	Redis       map[string]string          `json:"redis"`
	RedisBase64 map[string]string          `json:"redis_base64"`
	Others      map[string]string          `json:"others"` // in another database
	Rows        map[string]string          `json:"rows"`
	Stoker      *stokerDouble              `json:"stoker"`
	Reader      map[string]json.RawMessage `json:"reader"` // options, see the runners
	Steps       []step                     `json:"steps"`
}

// step is a GET and what must come, or a change of the world.
type step struct {
	Get     string            `json:"get"`
	Headers map[string]string `json:"headers"`
	Times   int               `json:"times"`     // at once; 0: 1
	Within  int               `json:"within_ms"` // all of them
	Soon    bool              `json:"soon"`      // within seconds, as after a reconnect
	Want    *answer           `json:"want"`
	Loads   *int              `json:"loads"` // of the application's database, since the case began
	Rings   *int              `json:"rings"` // at Stoker

	Set   map[string]*string         `json:"set"`  // keys in Redis; null: removed
	Link  string                     `json:"link"` // to Redis: up, down, hang
	Rows  map[string]json.RawMessage `json:"rows"` // as the case's rows and load_fails
	Sleep int                        `json:"sleep_ms"`
}

// answer is what an HTTP answer must be. An empty header must not be there.
type answer struct {
	Status  int               `json:"status"`
	Body    string            `json:"body"`
	Base64  bool              `json:"base64"`
	Headers map[string]string `json:"headers"`
}

func conformanceCases(t *testing.T) []conformanceCase {
	t.Helper()
	text, err := os.ReadFile("conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var cases []conformanceCase
	if err := dec.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// All readers answer alike: same bytes, same ETag, same headers, same outcome. Nothing but Stoker writes a key.
// Broken by: TestBrokenReadersAreFound, and any difference between the languages.
func TestConformance(t *testing.T) {
	cases := conformanceCases(t)
	for name, runner := range runners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for server, url := range runner(t, "") {
				t.Run(server, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, url)
					for _, c := range cases {
						begun := time.Now()
						for _, fault := range w.faults(c) {
							t.Errorf("%s: %s", c.Name, fault)
						}
						if took := time.Since(begun); took > 4*time.Second {
							t.Logf("%s took %s", c.Name, took)
						}
					}
				})
			}
		})
	}
}

// A reader that is broken in one place does not pass. Broken by: a conformance file without its case.
func TestBrokenReadersAreFound(t *testing.T) {
	t.Parallel()
	cases := conformanceCases(t)
	for broken, want := range map[string]string{
		"parsed":  "a hit is the bytes as they are: header etag",
		"flights": "fifty requests for a cold key are one load: loads, want 1",
		"writes":  "no key: the row is loaded and not written: the reader has changed Redis",
	} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			for _, url := range runPython(t, broken) {
				w := newWorld(t, url)
				found := ""
				for _, c := range cases {
					if strings.HasPrefix(want, c.Name+":") {
						found += c.Name + ": " + strings.Join(w.faults(c), "; ")
					}
				}
				// how many loads there are depends on how many find a connection in time
				name, fault, _ := strings.Cut(want, ": ")
				if !strings.HasPrefix(found, name+": ") || !strings.Contains(found, fault) {
					t.Errorf("found %q, want %q", found, want)
				}
			}
		})
	}
}

// faults plays a case and returns what is not as it should be.
func (w *world) faults(c conformanceCase) (faults []string) {
	w.prepare(c)
	defer func() { faults = append(faults, w.finish()...) }()
	for i, s := range c.Steps {
		switch {
		case s.Get != "":
			for _, fault := range w.get(s) {
				faults = append(faults, fmt.Sprintf("%s (step %d)", fault, i+1))
			}
		case s.Set != nil:
			for key, value := range s.Set {
				if value == nil {
					w.remove(key)
				} else {
					w.set(key, *value, 0)
				}
			}
		case s.Link != "":
			w.link.turn(s.Link)
		case s.Rows != nil:
			w.command("/-/rows", s.Rows)
		default:
			time.Sleep(time.Duration(s.Sleep) * time.Millisecond)
		}
	}
	return faults
}

// get sends a step's requests.
func (w *world) get(s step) (faults []string) {
	begun := time.Now()
	all := make([][]string, max(1, s.Times))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			all[i] = w.once(s)
			for s.Soon && all[i] != nil && time.Since(begun) < 10*time.Second {
				time.Sleep(50 * time.Millisecond)
				all[i] = w.once(s)
			}
		})
	}
	wg.Wait()
	for _, some := range all {
		if some != nil {
			faults = append(faults, some...)
			break
		}
	}
	if took := time.Since(begun); s.Within > 0 && took > time.Duration(s.Within)*time.Millisecond {
		faults = append(faults, fmt.Sprintf("it took %s", took))
	}
	if n := w.loads(); s.Loads != nil && n != *s.Loads {
		faults = append(faults, fmt.Sprintf("%d loads, want %d", n, *s.Loads))
	}
	if n := int(w.rings.Load()); s.Rings != nil && n != *s.Rings {
		faults = append(faults, fmt.Sprintf("%d rings, want %d", n, *s.Rings))
	}
	return faults
}

// once sends one request and compares its answer.
func (w *world) once(s step) (faults []string) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.url+s.Get, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip") // the client must not take it off again
	for name, value := range s.Headers {
		req.Header.Set(name, value)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return []string{err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return []string{err.Error()}
	}
	want := s.Want.Body
	if s.Want.Base64 {
		text, err := base64.StdEncoding.DecodeString(want)
		if err != nil {
			w.t.Fatal(err)
		}
		want = string(text)
	}
	for name, value := range s.Want.Headers {
		got := resp.Header.Get(name)
		if name == "content-type" { // a charset may follow
			got, _, _ = strings.Cut(got, ";")
		}
		if got != value {
			faults = append(faults, fmt.Sprintf("header %s is %q, want %q", name, got, value))
		}
	}
	if resp.StatusCode != s.Want.Status {
		faults = append(faults, fmt.Sprintf("status %d, want %d", resp.StatusCode, s.Want.Status))
	}
	if string(body) != want {
		faults = append(faults, fmt.Sprintf("body %.200q, want %.200q", body, want))
	}
	return faults
}

// contents is all that Redis holds, in every database.
func contents(ctx context.Context, client *redis.Client) (map[string]string, error) {
	all := make(map[string]string)
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if all[key], err = client.Get(ctx, key).Result(); err != nil {
			return nil, err
		}
		ttl, err := client.TTL(ctx, key).Result()
		if err != nil {
			return nil, err
		}
		all[key] += fmt.Sprintf(" (expires: %v)", ttl > 0)
	}
	return all, nil
}
