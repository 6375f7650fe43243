package ledger_test

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/storetest"
)

// Broken by: a killed worker whose run counts for good; a share that another namespace sees.
func TestBudget(t *testing.T) {
	c := client(t, storetest.Redis(t))
	l := ledger.NewIn("shop", c)
	ctx := t.Context()
	part := func(id string, ttl time.Duration) int {
		t.Helper()
		n, _, err := l.TakePart(ctx, id, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := part("killed", 300*time.Millisecond); n != 1 {
		t.Errorf("the first is %d", n)
	}
	if n := part("b", time.Minute); n != 2 {
		t.Errorf("two are %d", n)
	}
	storetest.Eventually(t, 5*time.Second, "the killed one counts no more", func() bool {
		return part("b", time.Minute) == 1
	})
	part("c", time.Minute)
	if err := l.EndPart(ctx, "c"); err != nil || part("b", time.Minute) != 1 {
		t.Errorf("the end of a part: %v", err)
	}
	for _, share := range []string{"10%", "none", ""} {
		if err := l.SetBudgetShare(ctx, share); err != nil {
			t.Fatal(err)
		}
		if _, got, err := l.TakePart(ctx, "b", time.Minute); got != share || err != nil {
			t.Errorf("the share is %q, %v; want %q", got, err, share)
		}
		if got, err := ledger.NewIn("other", c).BudgetShare(ctx); got != "" || err != nil {
			t.Errorf("another namespace's share is %q, %v", got, err)
		}
	}
}
