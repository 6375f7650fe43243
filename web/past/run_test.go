package past

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store"
)

// Broken by: rows or keys that were not written, and that the page does not name.
func TestRunsNameWhatTheyDidNotWrite(t *testing.T) {
	v := Run{Record: store.Record{Duplicates: 2, Returned: 1, BadKeys: 1, Warning: "key p:7 has more than one row"}}
	want := "1 row skipped for a key that is empty or reserved|2 rows skipped, of keys that another row had before|" +
		"1 key removed, whose rows did not follow one another|key p:7 has more than one row"
	if got := strings.Join(v.Warnings(), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
