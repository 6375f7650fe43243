package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/storetest"
)

// Someone has paused a queue. Broken by: any place where all looks well meanwhile, or that says something else
// (no worker is listening), or that does not say how to go on.
func TestPausedQueue(t *testing.T) {
	for _, queue := range jobs.Queues {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t), "LISTEN": freeAddress(t)}
			spec, c, base := specFile(t, rescueSpec), client(t, vars["RD"]), "http://"+vars["LISTEN"]
			storetest.Exec(t, vars["PG"], "CREATE TABLE item AS SELECT 1 AS id, 0.0 AS nap")
			d := start(t, vars, "run", "--config", spec)
			eventually(t, 30*time.Second, "the jobs have been run", func() (bool, error) {
				return len(records(t, c, "work")) == 1 && len(records(t, c, "ready")) == 1, nil
			})
			if err := asynq.NewInspectorFromRedisClient(c).PauseQueue(queue); err != nil {
				t.Fatal(err)
			}
			says := "queue " + queue + " is paused"
			eventually(t, 20*time.Second, "the daemon has noticed it", func() (bool, error) {
				_, metrics, err := get(t, base+"/metrics")
				return strings.Contains(metrics, `stoker_queue_paused{queue="`+queue+`"} 1`) &&
					strings.Contains(d.log.String(), says), err
			})
			for _, path := range []string{"/", "/jobs/work", "/api/v1/jobs", "/api/v1/jobs/work", "/readyz"} {
				status, body, err := get(t, base+path)
				want := says
				if strings.HasPrefix(path, "/api/") {
					want = `"paused_queues":[{"queue":"` + queue + `","since":"`
				}
				if err != nil || status != http.StatusOK || !strings.Contains(body, want) ||
					!strings.HasPrefix(path, "/api/") && !strings.Contains(body, "stoker resume") {
					t.Errorf("%s: %d, %v\n%s", path, status, err, body)
				}
			}
			other := map[string]string{jobs.QueueRun: jobs.QueueRefresh, jobs.QueueRefresh: jobs.QueueRun}[queue]
			if _, metrics, _ := get(t, base+"/metrics"); !strings.Contains(metrics, `stoker_queue_paused{queue="`+other+`"} 0`) {
				t.Error("the other queue counts as paused")
			}
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"check"}} {
				if r := stoker(t, vars, append(args, "--config", spec)...); r.status != 0 ||
					!strings.Contains(r.stdout, queue) || strings.Contains(r.stdout, other) {
					t.Errorf("%v: %+v", args, r)
				}
			}
			waits := [][]string{{"warm", "work", "--wait"}, {"invalidate", "work", "--all", "--wait"},
				{"invalidate", "work", "--all", "--remove", "--wait"}}
			body := `{"all":true}`
			if queue == jobs.QueueRefresh {
				waits, body = [][]string{{"invalidate", "work", "id=1", "--wait"}}, `{"keys":[{"id":1}]}`
			}
			for _, args := range waits {
				began := time.Now()
				r := stoker(t, vars, append(args, "--config", spec)...)
				if r.status != 1 || !strings.Contains(r.stderr, says) || !strings.Contains(r.stderr, "stoker resume") ||
					time.Since(began) > 15*time.Second {
					t.Errorf("%v after %s: %+v", args, time.Since(began), r)
				}
			}
			for _, args := range waits { // without --wait
				args = args[:len(args)-1]
				if r := stoker(t, vars, append(args, "--config", spec)...); r.status != 0 ||
					!strings.Contains(r.stderr, says) {
					t.Errorf("%v: %+v", args, r)
				}
			}
			post(t, base+"/api/v1/jobs/work/invalidate?wait=1", body, http.StatusGatewayTimeout)

			if r := stoker(t, vars, "resume", "nothing", "--config", spec); r.status != 2 {
				t.Errorf("%+v", r)
			}
			for _, want := range []string{"queue " + queue + " is resumed\n", "no queue was paused\n"} {
				if r := stoker(t, vars, "resume", "--config", spec); r.status != 0 || r.stdout != want {
					t.Errorf("%+v, want %q", r, want)
				}
			}
			for _, args := range waits {
				if r := stoker(t, vars, append(args, "--config", spec)...); r.status != 0 {
					t.Errorf("%v: %+v", args, r)
				}
			}
			eventually(t, 20*time.Second, "all is well again", func() (bool, error) {
				_, metrics, err := get(t, base+"/metrics")
				return strings.Contains(metrics, `stoker_queue_paused{queue="`+queue+`"} 0`), err
			})
			if _, text, err := get(t, base+"/readyz"); strings.Contains(text, "paused") || err != nil {
				t.Errorf("%s, %v", text, err)
			}
			d.stop(syscall.SIGTERM)
			if n := strings.Count(d.log.String(), says); n != 1 {
				t.Errorf("it was logged %d times", n)
			}
		})
	}
}
