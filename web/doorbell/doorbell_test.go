package doorbell

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

func product(t *testing.T) *jobs.Job {
	t.Helper()
	key, err := jobs.ParseKeyTemplate("product:{id}")
	if err != nil {
		t.Fatal(err)
	}
	return &jobs.Job{Name: "product", Key: key}
}

// One load answers all who ring for a key, and those who missed meanwhile; another key has a load of its own, and
// that there was no row is not remembered. Broken by: a load a caller, a load that ends with its caller, a load that
// is remembered for ever, an absence that is remembered.
func TestOneLoadAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, loads := product(t), atomic.Int64{}
		bell := New(t.Context(), func(ctx context.Context, _ *jobs.Job, key jobs.Key) (State, error) {
			loads.Add(1)
			time.Sleep(100 * time.Millisecond)
			if key["id"] == "7" {
				return Absent, ctx.Err()
			}
			return Loaded, ctx.Err()
		})
		ring := func(id string, patience time.Duration, want State, wantErr error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if state, err := bell.Ring(ctx, job, jobs.Key{"id": id}); state != want || !errors.Is(err, wantErr) {
				t.Errorf("key %s: %q, %v; want %q, %v", id, state, err, want, wantErr)
			}
		}
		var all sync.WaitGroup
		all.Go(func() { ring("42", 50*time.Millisecond, "", context.DeadlineExceeded) })
		for range 1000 {
			all.Go(func() { ring("42", time.Second, Loaded, nil) })
		}
		all.Go(func() { ring("7", time.Second, Absent, nil) })
		all.Wait()
		ring("42", time.Second, Loaded, nil) // it missed, and rings after the load
		if n := loads.Load(); n != 2 {
			t.Errorf("%d loads of two keys", n)
		}
		ring("7", time.Second, Absent, nil)
		time.Sleep(2 * remembered)
		ring("42", time.Second, Loaded, nil)
		if n := loads.Load(); n != 4 {
			t.Errorf("%d loads, want one more of each key", n)
		}
		time.Sleep(2 * remembered)
		bell.mu.Lock()
		defer bell.mu.Unlock()
		if len(bell.loads) != 0 || bell.going != 0 {
			t.Errorf("%d loads are kept, %d are going", len(bell.loads), bell.going)
		}
	})
}

// The doorbell is no queue: who rings for one key too many is sent away at once. Broken by: no bound.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, end := product(t), make(chan struct{})
		bell := New(t.Context(), func(context.Context, *jobs.Job, jobs.Key) (State, error) {
			<-end
			return Loaded, nil
		})
		var all sync.WaitGroup
		for i := range maxLoads {
			all.Go(func() { bell.Ring(t.Context(), job, jobs.Key{"id": fmt.Sprint(i)}) })
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		bell.Serve(w, httptest.NewRequest("POST", "/", strings.NewReader(`{"key": {"id": 4242}}`)), job)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		close(end)
		all.Wait()
	})
}

// Each answer has its status. Broken by: a misspelt body that is taken, an error that names a server.
func TestAnswers(t *testing.T) {
	job := product(t)
	bell := New(t.Context(), func(_ context.Context, _ *jobs.Job, key jobs.Key) (State, error) {
		switch key["id"] {
		case "42":
			return Loaded, nil
		case "x":
			return "", fmt.Errorf("refresh: %w", &store.KeyValueError{Job: "product", Column: "id", Type: "bigint",
				Value: "x", Message: "invalid input"})
		}
		return "", errors.New("dial tcp secret.example:5432")
	})
	for text, want := range map[string]string{
		`{"key": {"id": 42}}`:      `200 {"state":"loaded"}`,
		`{"key": {"id": "x"}}`:     `400 `,
		`{"key": {"id": 1}}`:       `503 {"error":"the key was not loaded: Stoker's log says why"}`,
		`{"key": {"ID": 1}}`:       `400 `,
		`{"key": {}}`:              `400 `,
		`{"key": null}`:            `400 `,
		`{"keys": [{"id": 1}]}`:    `400 `,
		`{"key": {"id": 1}} x`:     `400 `,
		`{"key": {"id": [1]}}`:     `400 `,
		``:                         `400 `,
		`{}`:                       `400 `,
		strings.Repeat(" ", 1<<17): `400 `,
	} {
		w := httptest.NewRecorder()
		bell.Serve(w, httptest.NewRequest("POST", "/", strings.NewReader(text)), job)
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%.40s: %s, want %s", text, got, want)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("it names a server: %s", w.Body)
		}
	}
}
