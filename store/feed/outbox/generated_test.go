package outbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
)

// Triggers see stored generated columns, on every version.
func TestOutboxGeneratedColumns(t *testing.T) {
	for name, at := range map[string]func(testing.TB) string{"installed": storetest.Postgres,
		"18": storetest.Postgres18} {
		t.Run(name, func(t *testing.T) {
			r := newOutboxAt(t, at(t), feedtest.ByKey("item"),
				"CREATE TABLE item (x int, id int GENERATED ALWAYS AS (x * 2) STORED)")
			for _, step := range []struct {
				sql  string
				want []string
			}{
				{"INSERT INTO item VALUES (1)", []string{"a map[id:2]"}},
				{"UPDATE item SET x = 2", []string{"a map[id:2]", "a map[id:4]"}},
				{"DELETE FROM item", []string{"a map[id:4]"}},
			} {
				r.exec(step.sql)
				if got := r.next(false); !slices.Equal(got, step.want) {
					t.Errorf("%s: %q, want %q", step.sql, got, step.want)
				}
			}
		})
	}
}

// Broken by: a virtual column that is recorded: triggers see NULL in it, which names no key, so that the key that a
// row has left would stay stale.
func TestOutboxRefusesVirtualColumns18(t *testing.T) {
	url := storetest.Postgres18(t)
	storetest.Exec(t, url, "CREATE TABLE item (x int, id int GENERATED ALWAYS AS (x * 2) VIRTUAL)")
	spec, s := feedtest.Spec(t, jobs.SourceOutbox, feedtest.ByKey("item")), feedtest.Open(t, url)
	const refused = "column id of table public.item, which "
	if _, err := outbox.Install(t.Context(), s, spec); err == nil || !strings.HasPrefix(err.Error(), refused) {
		t.Errorf("install: %v", err)
	}
	if got := feedtest.Checked(t, s, spec, outbox.Check); !strings.HasPrefix(got[0], "fail a: "+refused) {
		t.Errorf("check: %q", got)
	}
}
