package render

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/stokerhq/stoker/store"
)

// steps is in how many portions the rows of a second come: one at a time, each would cost a timer.
const steps = 50

// Paced yields at most so many rows a second; 0 is no limit. Postgres waits with it: it sends no more than the
// connection holds. The error is that of ctx, or says that the rest of its time is too short for one more portion.
func Paced(ctx context.Context, rows store.Rows, perSecond int) store.Rows {
	if perSecond == 0 {
		return rows
	}
	portion := max(1, perSecond/steps)
	limiter := rate.NewLimiter(rate.Limit(perSecond), portion)
	return func(yield func(store.Row, error) bool) {
		left := 0
		for row, err := range rows {
			if left == 0 && err == nil {
				left = portion
				if werr := limiter.WaitN(ctx, portion); werr != nil {
					yield(nil, fmt.Errorf("wait for the next rows at max_rate %d a second: %w", perSecond, werr))
					return
				}
			}
			left--
			if !yield(row, err) {
				return
			}
		}
	}
}
