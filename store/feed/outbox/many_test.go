package outbox_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
)

// A job whose run takes long keeps its rows from being done. They hold up nobody
// else's, and cost the polls little.
func TestOutboxGoesOnPastWhatIsNotDone(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("SELECT stoker_invalidate('menu') FROM generate_series(1, 60000)")
	taken := func(ids string) {
		t.Helper()
		feedtest.Eventually(t, "the outbox is read to "+ids, func() bool { return r.feed.Unacked() == ids })
	}
	taken("{[1,60001)}")
	r.next(true)
	r.exec("UPDATE product SET name = 'x' WHERE id = 1", "BEGIN; SELECT stoker_invalidate('menu'); ROLLBACK",
		"UPDATE product SET name = 'x' WHERE id = 2")
	taken("{[1,60002),[60003,60004)}")
	if got := strings.Join(r.next(true), ", "); got != "product map[id:1], product map[id:2], supplier by 1, "+
		"supplier by 2" {
		t.Errorf("past 60,000 rows that are not done: %s", got)
	}
	if err := r.feed.Done(t.Context(), math.MaxUint64); err != nil {
		t.Fatal(err)
	}
	r.want("when they are done, and nothing else has come")
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		want string
		ids  [][]int64
	}{
		{"{}", nil},
		{"{[5,6)}", [][]int64{{5}}},
		{"{[1,4),[5,6),[7,9)}", [][]int64{{7, 1, 3}, {8, 2}, {5}}},
		{"{[-2,0),[9223372036854775806,9223372036854775807)}", [][]int64{{-1, 9223372036854775806, -2}}},
	} {
		if diff := cmp.Diff(c.want, outbox.Ranges(c.ids...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.ids, diff)
		}
	}
}
