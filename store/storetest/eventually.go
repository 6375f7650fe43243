package storetest

import (
	"testing"
	"time"
)

// Patience is how many times as long as on an idle machine something may take on a busy one. Limits only end a test
// that fails: one that passes does not wait for them.
const Patience = 3

// Eventually waits until ok says that what is so. limit is enough for it on an idle machine.
func Eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	limit *= Patience
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
