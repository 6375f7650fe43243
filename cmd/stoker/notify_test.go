package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/stokerhq/stoker/store/storetest"
)

// Two daemons of which each run fails send one signed POST.
func TestAFailedRunIsNotifiedOnce(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var bodies []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = hook.Verify(b, r.Header)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(b))
	}))
	defer receiver.Close()
	posts := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), bodies...)
	}
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "HOOK": receiver.URL,
		"SECRET": secret,
		"LISTEN": freeAddress(t)}
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
notify: [{url: "${HOOK}", secret: "${SECRET}", on: [run_failed]}]
jobs:
  - {name: broken, key: "b:{id}", query: "SELECT id FROM no_such_table", schedule: "@every 1s"}
`)
	first := start(t, vars, "run", "--config", spec)
	vars["LISTEN"] = freeAddress(t)
	second := start(t, vars, "run", "--config", spec)
	eventually(t, time.Minute, "the failed run is notified", func() (bool, error) { return len(posts()) > 0, nil })
	time.Sleep(10 * time.Second) // two looks
	if list := posts(); len(list) != 1 || !strings.Contains(list[0], "no_such_table") {
		t.Errorf("%d POSTs: %q", len(list), list)
	}
	for _, d := range []*process{first, second} {
		if status := d.stop(syscall.SIGTERM); status != exitOK {
			t.Errorf("exit status %d", status)
		}
	}
}
