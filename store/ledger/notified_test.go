package ledger_test

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/storetest"
)

// Of two replicas one is the first; a mark that is taken off can be set again.
func TestNotified(t *testing.T) {
	o, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	a, b := ledger.New(c), ledger.New(c)
	mark := func(l *ledger.Ledger, want bool) {
		t.Helper()
		if first, err := l.MarkNotified(t.Context(), "run_failed:a"); err != nil || first != want {
			t.Errorf("first: %v, %v, want %v", first, err, want)
		}
	}
	mark(a, true)
	mark(b, false)
	if list, err := b.Notified(t.Context()); err != nil || !slices.Equal(list, []string{"run_failed:a"}) {
		t.Errorf("%q, %v", list, err)
	}
	if err := b.ForgetNotified(t.Context(), "run_failed:a"); err != nil {
		t.Error(err)
	}
	mark(b, true)
}
