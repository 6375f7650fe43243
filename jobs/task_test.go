package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
)

// enqueue sends a task as the scheduler does, with no further options, and
// returns what a worker's side of Asynq sees of it.
func enqueue(t *testing.T, redis asynq.RedisClientOpt, task *asynq.Task) *asynq.TaskInfo {
	t.Helper()
	client := asynq.NewClient(redis)
	defer client.Close()
	sent, err := client.EnqueueContext(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspector(redis)
	defer inspector.Close()
	seen, err := inspector.GetTaskInfo(sent.Queue, sent.ID)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// The options are bound to the task, and reach Redis without being repeated.
func TestTasksCarryTheirOptions(t *testing.T) {
	redis := asynq.RedisClientOpt{Addr: miniredis.RunT(t).Addr()}
	must := func(task *asynq.Task, err error) *asynq.Task {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	due := time.Date(2024, 5, 1, 12, 0, 0, 999, time.FixedZone("", 7200))
	for _, tt := range []struct {
		name, id, typ, queue, payload string
		task                          *asynq.Task
		timeout                       time.Duration
		retries                       int
	}{
		{"tick", "warm:top-sellers@1714557600", TypeRun, QueueRun,
			`{"job":"top-sellers","due":1714557600,"cause":"tick"}`,
			NewTick("top-sellers", due, CauseTick), 24 * time.Hour, 3},
		{"run", "", TypeRun, QueueRun, `{"job":"a","cause":"api"}`, NewRun("a", CauseAPI), 24 * time.Hour, 3},
		{"keyset removal", "", TypeRun, QueueRun, `{"job":"a","cause":"command","remove":true}`,
			NewKeysetRemoval("a", CauseCommand), 24 * time.Hour, 3},
		{"invalidation", "", TypeRefresh, QueueRefresh, `{"job":"a","keys":[{"id":"7"},{"id":"\u003c"}]}`,
			must(NewInvalidation("a", Key{"id": "7"}, Key{"id": "<"})), time.Hour, 8},
		{"removal", "", TypeRefresh, QueueRefresh, `{"job":"a","keys":[{}],"remove":true}`, must(NewRemoval("a", nil)),
			time.Hour, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := enqueue(t, redis, tt.task)
			if tt.id != "" && got.ID != tt.id {
				t.Errorf("ID %q, want %q", got.ID, tt.id)
			}
			retention := map[string]time.Duration{QueueRun: 10 * time.Minute, QueueRefresh: time.Minute}[tt.queue]
			if got.Type != tt.typ || got.Queue != tt.queue || got.Timeout != tt.timeout || got.MaxRetry != tt.retries ||
				got.Retention != retention {
				t.Errorf("got %s in %s, timeout %v, retries %d, retention %v", got.Type, got.Queue, got.Timeout,
					got.MaxRetry, got.Retention)
			}
			if made, ok := EnqueuedAt(asynq.NewTaskWithHeaders(got.Type, nil, got.Headers)); !ok ||
				time.Since(made).Abs() > time.Hour {
				t.Errorf("made at %v, %v", made, ok)
			}
			if diff := cmp.Diff(tt.payload, string(got.Payload)); diff != "" {
				t.Errorf("payload -want +got:\n%s", diff)
			}
		})
	}
}

func TestTickIsEnqueuedOnce(t *testing.T) {
	redis := asynq.RedisClientOpt{Addr: miniredis.RunT(t).Addr()}
	client := asynq.NewClient(redis)
	defer client.Close()
	due := time.Unix(1714557600, 0)
	enqueue(t, redis, NewTick("a", due, CauseTick))
	if _, err := client.EnqueueContext(context.Background(), NewTick("a", due, CauseCatchUp)); !errors.Is(err,
		asynq.ErrTaskIDConflict) {
		t.Errorf("the same tick again: %v", err)
	}
	enqueue(t, redis, NewTick("a", due.Add(time.Second), CauseTick))
	enqueue(t, redis, NewRun("a", CauseAPI))
	enqueue(t, redis, NewRun("a", CauseAPI)) // a second run is a second task
}

func TestPayloadsComeBack(t *testing.T) {
	run, err := ParseRun(NewTick("a", time.Unix(60, 0), CauseCatchUp))
	if diff := cmp.Diff(Run{Job: "a", Due: 60, Cause: CauseCatchUp}, run); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	run, err = ParseRun(NewKeysetRemoval("a", CauseLocal))
	if diff := cmp.Diff(Run{Job: "a", Cause: CauseLocal, Remove: true}, run); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
	keys := []Key{{"id": "7", "region": "ü \" \u2028"}, {"id": "", "region": "x"}}
	task, err := NewInvalidation("a", keys...)
	if err != nil {
		t.Fatal(err)
	}
	invalidation, err := ParseInvalidation(task)
	if diff := cmp.Diff(Invalidation{Job: "a", Keys: keys}, invalidation); diff != "" || err != nil {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}

func TestInvalidationSaysWhatToMend(t *testing.T) {
	many := make([]Key, MaxKeys+1)
	for i := range many {
		many[i] = Key{"id": strconv.Itoa(i)}
	}
	if _, err := NewInvalidation("a", many[:MaxKeys]...); err != nil {
		t.Errorf("%d keys: %v", MaxKeys, err)
	}
	for _, tt := range []struct {
		job  string
		keys []Key
		want string
	}{
		{"a", many, "split the call, a task carries at most 500"},
		{"a", nil, "names no key"},
		{"A", []Key{{"id": "1"}}, `"A" is not the name of a job`},
		{"a", []Key{{"id": "1"}, {"id": "1", "region": "x"}}, "key 2: it has 2 columns and key 1 has 1"},
		{"a", []Key{{"id": "1"}, {"sku": "1"}}, `key 2: it has the column "sku" and key 1 has not`},
		{"a", []Key{{"": "1"}}, "key 1: a column has no name"},
		{"a", []Key{{"id": "\xff"}}, "is not UTF-8"},
	} {
		for _, construct := range []func(string, ...Key) (*asynq.Task, error){NewInvalidation, NewRemoval} {
			if task, err := construct(tt.job, tt.keys...); task != nil || err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %d keys: %v, want %q", tt.job, len(tt.keys), err, tt.want)
			}
		}
	}
}

func TestParseRefusesGarbage(t *testing.T) {
	for payload, want := range map[string]string{
		``:                             "EOF",
		`null`:                         "not the name",
		`[]`:                           "cannot unmarshal",
		`{"job":"a","cause":"tick"} x`: "goes on after its end",
		`{"job":"a","cause":"tick"}{}`: "goes on after its end",
		`{"job":"a","cause":"tick","query":"DROP TABLE x"}`: "unknown field",
		`{"job":"a; DROP","cause":"tick"}`:                  "not the name",
		`{"job":"a","cause":"whim"}`:                        "unknown cause",
		`{"job":"a","cause":"tick","due":-1}`:               "due at -1",
		`{"job":"a","cause":"tick","due":1.5}`:              "cannot unmarshal",
	} {
		if r, err := ParseRun(asynq.NewTask(TypeRun, []byte(payload))); err == nil ||
			!strings.Contains(err.Error(), want) || r != (Run{}) {
			t.Errorf("ParseRun(%s) = %v, %v; want %q", payload, r, err, want)
		}
	}
	for payload, want := range map[string]string{
		`{"job":"a","keys":[]}`:                    "names no key",
		`{"job":"a","keys":[null]}`:                "not null",
		`{"job":"a","keys":[{"id":null}]}`:         `key column "id" is null`,
		`{"job":"a","keys":[{"id":7}]}`:            "cannot unmarshal",
		`{"job":"a","keys":[{"id":"1"},{}]}`:       "key 2",
		`{"job":"a","keys":[{"id":"1"}],"sql":""}`: "unknown field",
	} {
		if i, err := ParseInvalidation(asynq.NewTask(TypeRefresh, []byte(payload))); err == nil ||
			!strings.Contains(err.Error(), want) || i.Job != "" || i.Keys != nil {
			t.Errorf("ParseInvalidation(%s) = %v, %v; want %q", payload, i, err, want)
		}
	}
	if _, err := ParseRun(asynq.NewTask(TypeRefresh, []byte(`{"job":"a","cause":"tick"}`))); err == nil {
		t.Error("ParseRun reads a task of another type")
	}
}

// What is accepted can be written and read again, the same.
func FuzzParseTask(f *testing.F) {
	f.Add([]byte(`{"job":"a","due":60,"cause":"tick"}`))
	f.Add([]byte(`{"job":"a","keys":[{"id":"1"},{"id":"2"}],"remove":true}`))
	f.Add([]byte(`{"job":"a","keys":[{}]}`))
	f.Add([]byte(`{"JOB":"a","cause":"api"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if run, err := ParseRun(asynq.NewTask(TypeRun, payload)); err == nil {
			again, err := ParseRun(run.Task())
			if err != nil || again != run {
				t.Fatalf("%+v came back as %+v, %v", run, again, err)
			}
		}
		if i, err := ParseInvalidation(asynq.NewTask(TypeRefresh, payload)); err == nil {
			task, err := newRefresh(i)
			if err != nil {
				t.Fatalf("read but not written: %v", err)
			}
			first, _ := json.Marshal(i)
			if !bytes.Equal(first, task.Payload()) {
				t.Fatalf("%s came back as %s", first, task.Payload())
			}
		}
	})
}
