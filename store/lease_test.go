package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A lease is renewed for as long as its holder works, through errors, and not once more.
func TestKeepLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Duration
		var reports []bool
		begun := time.Now()
		KeepLease(ctx, time.Second, func(context.Context) (bool, error) {
			at = append(at, time.Since(begun))
			if len(at) == 2 {
				return false, errors.New("away")
			}
			return true, nil
		}, func(held bool, err error) {
			reports = append(reports, held && err == nil)
			if len(reports) == 3 {
				cancel()
			}
		})
		if len(at) != 3 || at[2] != 3*time.Second || !reports[0] || reports[1] || !reports[2] {
			t.Errorf("renewed at %v, reported %v", at, reports)
		}
	})
}
