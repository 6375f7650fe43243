package cache_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/cache"
)

// Prune takes fields that are a life old, and nothing else; it notes how new the
// newest was.
func TestPrune(t *testing.T) {
	r := newRig(t)
	r.run(product, 1)
	const n = 600 // more than one step looks at
	newest := ""
	for i := range n {
		key := fmt.Sprint("k", i)
		r.fence(10, key, 0)
		if i%2 == 0 {
			r.age(key, 1)
			newest = max(newest, r.field(key)[26:])
		}
	}
	r.prune(n / 2)
	for i := range n {
		if there := r.field(fmt.Sprint("k", i)) != ""; there != (i%2 == 1) {
			t.Errorf("field %d is there: %v", i, there)
		}
	}
	for _, f := range []string{"#n", "#t", "#r:" + product.Name} {
		if r.field(f) == "" {
			t.Errorf("%s is gone", f)
		}
	}
	if got := r.field("#p"); got != newest {
		t.Errorf("the newest field that was pruned is of %s, and #p is %q", newest, got)
	}
	r.fence(10, "older", 0)
	r.age("older", 3)
	r.prune(1)
	if got := r.field("#p"); got != newest {
		t.Errorf("#p has gone back from %s to %s", newest, got)
	}
	r.prune(0)
}

func (r *rig) field(name string) string {
	return r.client.HGet(r.Context(), r.values.Book(), name).Val()
}

func TestPruneNothing(t *testing.T) {
	r := newRig(t)
	r.prune(0)
	if n := r.client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys came into being", n)
	}
	arm(t, r.values)
	before := r.written()
	r.prune(0)
	if r.written() != before {
		t.Error("something was written")
	}
}

// The longest life of any process counts: its writes may be that late.
func TestPruneHeedsTheLongestLife(t *testing.T) {
	r := newRig(t)
	patient := cache.New(r.client, time.Hour)
	arm(t, patient)
	arm(t, r.values) // a shorter one does not take its place
	r.fence(10, "a", 0)
	r.age("a", 1)
	r.prune(0)
	if patient.Life() < 2*r.values.Life() {
		t.Fatalf("lives of %v and %v", patient.Life(), r.values.Life())
	}
	if n, err := patient.Prune(t.Context()); n != 0 || err != nil {
		t.Errorf("%d pruned, %v", n, err)
	}
	r.age("a", int(patient.Life()/r.values.Life()))
	r.prune(1)
}
