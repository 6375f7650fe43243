package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/intake"
	"github.com/stokerhq/stoker/worker/render"
)

// Broken by: an error for good that is retried, or one that passes that is not.
func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		err       error
		permanent bool
	}{
		{&store.QueryError{SQLState: "42703"}, true},
		{&store.QueryError{SQLState: "22012"}, true},
		{fmt.Errorf("after row 7: %w", &store.QueryError{SQLState: "42501"}), true},
		{&store.QueryError{SQLState: "57P01"}, false},
		{&store.QueryError{SQLState: "40001"}, false},
		{&store.KeyValueError{}, true},
		{&render.RowError{Row: 7, Err: &store.ShapeError{}}, true},
		{errors.New("connection refused"), false},
		{ErrStopping, false},
	} {
		got := outcome(tc.err)
		if errors.Is(got, asynq.SkipRetry) != tc.permanent || !errors.Is(got, tc.err) {
			t.Errorf("%v became %v", tc.err, got)
		}
	}
	for err, failure := range map[error]bool{errors.New("x"): true, ErrStopping: false,
		fmt.Errorf("after row 1: %w", ErrStopping): false, errBusy: false, nil: false,
		&intake.HandedBackError{Err: errBusy}: false} {
		if isFailure(err) != failure {
			t.Errorf("%v uses up a retry: %v", err, !failure)
		}
	}
	for n := range 40 {
		if d, most := retryDelay(n, errors.New("x"), nil), 45*time.Second; d < 500*time.Millisecond || d > most ||
			n == 0 && d > 1500*time.Millisecond {
			t.Errorf("retry %d after %s", n, d)
		}
	}
	if d := retryDelay(3, ErrStopping, nil); d != 0 {
		t.Errorf("an interrupted task waits %s", d)
	}
	if d := retryDelay(3, errBusy, nil); d != time.Second {
		t.Errorf("a run that waits for another looks again after %s", d)
	}
}

// Broken by: no connection for a kind of task, or more than the spec allows.
func TestShare(t *testing.T) {
	for n := 1; n < 20; n++ {
		c := Share(n)
		if c.Runs < 1 || c.Refreshes < 1 || n > 1 && c.Runs+c.Refreshes != n {
			t.Errorf("of %d connections: %+v", n, c)
		}
	}
}
