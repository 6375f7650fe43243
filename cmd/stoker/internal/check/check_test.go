package check

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// A reader of check sees when each job is due, in the schedule's own zone.
func TestSchedulesShowTheNextTicks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	spec := &jobs.Spec{Jobs: []*jobs.Job{{Name: "on-demand"}}}
	lines := map[string]string{"weekly": "30 2 * * 7", "often": "@every 20m", "elsewhere": "TZ=Asia/Tokyo 0 9 * * *"}
	for name, line := range lines {
		s, err := jobs.ParseSchedule(line, berlin)
		if err != nil {
			t.Fatal(err)
		}
		spec.Jobs = append(spec.Jobs, &jobs.Job{Name: name, Schedule: s})
	}
	f := &Findings{}
	f.schedules(spec, time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC))
	want := map[string]string{
		// On the 29th the clock skips 02:30.
		"weekly": "schedule 30 2 * * 7: next Sun 2026-03-22 02:30:00 +01:00, Sun 2026-04-05 02:30:00 +02:00, " +
			"Sun 2026-04-12 02:30:00 +02:00 (Europe/Berlin)",
		"often": "schedule @every 20m: next Fri 2026-03-20 12:20:00 +00:00, Fri 2026-03-20 12:40:00 +00:00, " +
			"Fri 2026-03-20 13:00:00 +00:00 (UTC)",
		"elsewhere": "schedule TZ=Asia/Tokyo 0 9 * * *: next Sat 2026-03-21 09:00:00 +09:00, " +
			"Sun 2026-03-22 09:00:00 +09:00, Mon 2026-03-23 09:00:00 +09:00 (Asia/Tokyo)",
	}
	if len(f.List) != len(want) {
		t.Errorf("%d findings: %v", len(f.List), f.List)
	}
	for _, x := range f.List {
		if x.Message != want[x.Subject] || x.Grade != Pass {
			t.Errorf("%s %s:\n got %s\nwant %s", x.Grade, x.Subject, x.Message, want[x.Subject])
		}
		if x.Subject == "weekly" {
			text, err := json.Marshal(x)
			list := `"next":["2026-03-22T02:30:00+01:00","2026-04-05T02:30:00+02:00",`
			if err != nil || !strings.Contains(string(text), list) {
				t.Errorf("%s, %v", text, err)
			}
		}
	}
}
