package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
)

func TestParseWhere(t *testing.T) {
	for text, want := range map[string]Where{
		"category=books":                 {"category": {"books"}},
		"supplier=7;supplier=8;site=a,b": {"supplier": {"7", "8"}, "site": {"a,b"}},
		"note=":                          {"note": {""}},
		"note=a=b":                       {"note": {"a=b"}},
	} {
		got, err := ParseWhere(strings.Split(text, ";"))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, d)
		}
	}
	for text, says := range map[string]string{
		"category": "is not column=value", "=7": "is not column=value", "a=\x00": "is no text that Postgres knows",
		"a=\xff": "is no text that Postgres knows",
		strings.Repeat("a=1;", MaxWhereValues) + "a=1": "more than the 1000",
	} {
		if _, err := ParseWhere(strings.Split(text, ";")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20s: %v, want %q", text, err, says)
		}
	}
}

// A number keeps its digits, and one value stands for an array of one.
func TestWhereAsJSON(t *testing.T) {
	var got Where
	err := json.Unmarshal([]byte(`{"a": 12345678901234567890, "b": ["x", true, 1.50]}`), &got)
	want := Where{"a": {"12345678901234567890"}, "b": {"x", "true", "1.50"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

// Every part that is fenced is a task, also when the call is broken off. Broken by: a queue that is asked with a
// context that has ended.
func TestWhatAConditionHasFencedIsEnqueued(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	job := &Job{Name: "product"}
	keys, seen := 0, 0
	i := Invalidator{
		Enqueue: func(ctx context.Context, task *asynq.Task) (*asynq.TaskInfo, error) {
			inv, err := ParseInvalidation(task)
			if err != nil || !inv.Fenced {
				t.Errorf("%+v %v", inv, err)
			}
			keys += len(inv.Keys)
			return &asynq.TaskInfo{}, ctx.Err()
		},
		FenceWhere: func(ctx context.Context, _ *Job, _ Where, fenced func([]Key) error) error {
			for range 3 {
				if err := fenced([]Key{{"id": "1"}, {"id": "2"}}); err != nil {
					return err
				}
				cancel()
			}
			return ctx.Err()
		},
	}
	done, err := i.Where(ctx, job, Where{"a": {"1"}}, false, func(n int) { seen = n })
	if !errors.Is(err, context.Canceled) || keys != 6 || done.Keys != 6 || len(done.Tasks) != 3 || done.Fenced ||
		seen != 6 {
		t.Errorf("%+v, %d keys, %d seen: %v", done, keys, seen, err)
	}
}

func TestJobsWithTheColumns(t *testing.T) {
	list := []*Job{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	i := Invalidator{CheckWhere: func(_ context.Context, job *Job, w Where) error {
		if job.Name == "b" {
			return &NoColumnError{Job: "b", Column: "supplier", Has: []string{"Supplier"}}
		}
		if w["supplier"][0] == "x" {
			return errors.New("no number")
		}
		return nil
	}}
	with, err := i.JobsWith(t.Context(), list, Where{"supplier": {"7"}})
	if err != nil || len(with) != 2 || with[1].Name != "c" {
		t.Errorf("%v %v", with, err)
	}
	if _, err := i.JobsWith(t.Context(), list, Where{"supplier": {"x"}}); err == nil ||
		!strings.Contains(err.Error(), "no number; nothing was done") {
		t.Error(err)
	}
	if _, err := i.JobsWith(t.Context(), list[1:2], Where{"supplier": {"7"}}); err == nil ||
		err.Error() != "no job has a query that returns supplier: see what they return with stoker check" {
		t.Error(err)
	}
	lacks := i.CheckWhere(t.Context(), list[1], nil)
	if want := `returns no column "supplier"; it returns: Supplier; upper and lower case count: write Supplier`; !strings.
		Contains(lacks.Error(), want) {
		t.Error(lacks)
	}
}
