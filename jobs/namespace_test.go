package jobs

import (
	"slices"
	"testing"
)

// Broken by: a namespace that has a key or a queue of another one, or of none.
func TestNamespacesAreApart(t *testing.T) {
	spaces := []Namespace{"", "shop", "shop-eu", "ns", "runs"}
	names := []string{"runs:job", "runs:ns", "manifest:ns:head", "{cache}:book", "epoch:postgres", "format"}
	for _, a := range spaces {
		for _, name := range names {
			key := a.Key(name)
			for _, b := range spaces {
				if b.HasKey(key) != (a == b) {
					t.Errorf("%s: %s has it: %t", key, b, a != b)
				}
			}
			if Reserved([]byte(key)) == "" {
				t.Errorf("a job could write %s", key)
			}
		}
		for _, queue := range a.Queues() {
			if n, ok := NamespaceOf(queue); n != a || !ok {
				t.Errorf("%s is of %s, %t", queue, n, ok)
			}
		}
	}
	if n, ok := NamespaceOf("default"); ok {
		t.Errorf("an application's queue is of %s", n)
	}
	if got := Namespace("shop").Queues(); !slices.Equal(got, []string{"shop:stoker-run", "shop:stoker-refresh"}) {
		t.Errorf("queues %q", got)
	}
	if got := Namespace("").Key("runs:a") + " " + Namespace("").Queue(QueueRun); got != "stoker:runs:a stoker-run" {
		t.Errorf("without a namespace: %s", got)
	}
}
