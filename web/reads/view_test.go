package reads

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
)

// Broken by: a share that is rounded up to 100 %; a bound that is better than the share; silence taken for no reads.
func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 30, 10, 0, time.UTC)
	counted := func(hits, misses int64, ago time.Duration) store.Reads {
		r := store.Reads{Since: now.Add(-3 * time.Hour)}
		r.Count(now.Add(-ago), hits, misses)
		r.At = now
		return r
	}
	const rest = "; all keys of the servers, without Stoker's own lookups)"
	const unknown = "how often readers find their key is not known: "
	for name, test := range map[string]struct {
		reads store.Reads
		want  string
	}{
		"none missed": {counted(10_000_000, 0, 0), "100 % of 10,000,000 reads found their key in the last hour, " +
			"0 did not (at least 99.99997 % with 95 % confidence" + rest},
		"one of a million": {counted(999_999, 1, time.Minute), "99.9999 % of 1,000,000 reads found their key in the " +
			"last hour, 1 did not (at least 99.99952 % with 95 % confidence" + rest},
		"a third": {counted(2, 1, time.Minute), "66.6 % of 3 reads found their key in the last hour, 1 did not " +
			"(at least 0 % with 95 % confidence" + rest},
		"too old":   {counted(5, 5, 2*time.Hour), "no reader has asked the cache for a key in the last hour"},
		"no reads":  {store.Reads{At: now}, "no reader has asked the cache for a key in the last hour"},
		"not begun": {store.Reads{}, unknown + "nobody counts yet: a daemon with the role admin does"},
		"silence": {store.Reads{At: now.Add(-2 * time.Minute), Hits: 5}, unknown + "nobody has counted since " +
			"2026-11-30 12:28:10 UTC: a daemon with the role admin does"},
	} {
		if got := NewReport(test.reads, now).String(); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

// Broken by: a past that grows without end, or of which the oldest are kept.
func TestPast(t *testing.T) {
	var r store.Reads
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10_000 {
		r.Count(begin.Add(time.Duration(i)*time.Minute), 3, 1)
	}
	r.At = begin.Add(9999 * time.Minute)
	if len(r.Minutes) != store.KeptMinutes || len(r.Hours) > store.KeptHours || r.Hits != 30_000 {
		t.Errorf("%d minutes, %d hours, %d hits", len(r.Minutes), len(r.Hours), r.Hits)
	}
	if hits, misses := r.Last(time.Hour); hits != 61*3 || misses != 61 {
		t.Errorf("%d and %d in the last hour", hits, misses)
	}
	rows := NewReport(r, r.At).Past()
	if len(rows) != shownHours || rows[0].Begin.Before(rows[1].Begin) || rows[1].Ratio != "75 %" ||
		rows[1].Hits != 180 {
		t.Errorf("%+v", rows)
	}
}
