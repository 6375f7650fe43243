package jobs_test

import (
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// A Go API that has written rows enqueues their keys: the values are loaded again through the job's query.
// Enqueue the task with an asynq.Client on the Redis of the queue.
func ExampleNewInvalidation() {
	task, err := jobs.NewInvalidation("product", jobs.Key{"id": "42"}, jobs.Key{"id": "43"})
	if err != nil {
		panic(err)
	}
	fmt.Println(task.Type())
	fmt.Println(string(task.Payload()))
	// Output:
	// stoker:refresh
	// {"job":"product","keys":[{"id":"42"},{"id":"43"}]}
}

// A removal drops keys without loading them.
func ExampleNewRemoval() {
	task, err := jobs.NewRemoval("product", jobs.Key{"id": "42"})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(task.Payload()))
	// Output: {"job":"product","keys":[{"id":"42"}],"remove":true}
}

// Any number of keys becomes as many tasks as it takes.
func ExampleNewInvalidations() {
	keys := make([]jobs.Key, jobs.MaxKeys+1)
	for i := range keys {
		keys[i] = jobs.Key{"id": fmt.Sprint(i)}
	}
	tasks, err := jobs.NewInvalidations("product", keys, false)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(tasks))
	// Output: 2
}

func ExampleParseKeyTemplate() {
	t, err := jobs.ParseKeyTemplate("price:{shop}:{sku}")
	if err != nil {
		panic(err)
	}
	key := t.Append(nil, func(dst []byte, column int) []byte {
		return append(dst, []string{"7", "A-1"}[column]...)
	})
	fmt.Println(string(key), t.Columns())
	// Output: price:7:A-1 [shop sku]
}

func ExampleParseSchedule() {
	s, err := jobs.ParseSchedule("*/15 * * * *", time.UTC)
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Next(time.Date(2026, 11, 29, 10, 7, 0, 0, time.UTC)).Format(time.TimeOnly))
	// Output: 10:15:00
}

func ExampleParseKey() {
	template, err := jobs.ParseKeyTemplate("product:{id}")
	if err != nil {
		panic(err)
	}
	job := &jobs.Job{Name: "product", Key: template}
	fmt.Println(jobs.ParseKey(job, []byte(`{"id": 42}`)))
	_, err = jobs.ParseKey(job, []byte(`{"sku": 42}`))
	fmt.Println("the key", err)
	// Output:
	// map[id:42] <nil>
	// the key lacks id: the key of job product is product:{id}, so give id
}
