package past

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
)

func TestAudit(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		audit            store.Audit
		nines, confirmed string // empty: nothing is shown
		bad              bool
	}{
		{store.Audit{}, "", "", false},
		{store.Audit{Since: now}, "", "", false},
		{store.Audit{Checked: 3_000_000}, "6.0 nines at 95 %", "not every key yet", false},
		{store.Audit{Checked: 1_000_000, Stale: 10, LastFind: now.Add(-time.Hour)}, "4.7 nines at 95 %",
			"not every key yet",
			true},
		{store.Audit{Checked: 1_000_000, Stale: 11, LastFind: now.Add(-48 * time.Hour)}, "4.7 nines at 95 %",
			"not every key yet", false},
		{store.Audit{Confirm: now.Add(-90 * time.Second)}, "no value compared", "every key within 1 min 30 s", false},
		{store.Audit{Missing: 1, LastFind: now}, "no value compared", "not every key yet", true},
	} {
		st := NewAudit(tt.audit, now)
		if st == nil {
			if tt.nines != "" {
				t.Errorf("%+v is not shown", tt.audit)
			}
			continue
		}
		if st.NinesText() != tt.nines || st.ConfirmedText() != tt.confirmed || st.Bad(now) != tt.bad {
			t.Errorf("%+v: %q, %q, bad: %v", tt.audit, st.NinesText(), st.ConfirmedText(), st.Bad(now))
		}
	}
}
