package render

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/store"
)

// Broken by: a portion that is not waited for, a limit that is a burst of a second, an error that is swallowed.
func TestPaced(t *testing.T) {
	endless := func(yield func(store.Row, error) bool) {
		for yield(store.Row{}, nil) {
		}
	}
	for _, perSecond := range []int{1, 3, 49, 50, 1000, 123_457} {
		synctest.Test(t, func(t *testing.T) {
			begun, n := time.Now(), 0
			for _, err := range Paced(t.Context(), endless, perSecond) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				spent := time.Since(begun).Seconds()
				if float64(n) > float64(perSecond)*spent+float64(max(1, perSecond/steps))+0.01 {
					t.Fatalf("%d rows after %.3f s at %d a second", n, spent, perSecond)
				}
				if n == 10*perSecond {
					break
				}
			}
			if spent := time.Since(begun); spent > 10*time.Second {
				t.Errorf("%d rows took %s at %d a second", n, spent, perSecond)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var last error
		for _, err := range Paced(ctx, endless, 10) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "max_rate 10 a second") {
			t.Errorf("it ended with %v", last)
		}
	})
}
