package intake

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Broken by: a task that comes back at once and storms Redis, or so late that a new worker waits for it.
func TestDelay(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{0: time.Second, 10 * time.Second: time.Second,
		time.Minute: 3 * time.Second, 15 * time.Minute: 15 * time.Second, 24 * time.Hour: 15 * time.Second} {
		e := &HandedBackError{Err: &jobs.UnknownJobError{Job: "j", File: "f"}, Since: since}
		if got := e.Delay(); got != want {
			t.Errorf("after %s it waits %s, want %s", since, got, want)
		}
		if _, unknown := errors.AsType[*jobs.UnknownJobError](e); !unknown {
			t.Error("the reason is lost")
		}
	}
}

// Broken by: a line of log for each tick of a removed job; and a reason that is logged once in a process' life.
func TestReasonIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &HandBack{}
		said := map[string]int{}
		for second := range 150 {
			for n := range 2 {
				why := fmt.Sprint("job ", n)
				if h.isNew(errors.New(why)) {
					said[why]++
				}
			}
			if second == 100 && len(h.said) != 2 {
				t.Errorf("%d reasons are remembered", len(h.said))
			}
			time.Sleep(time.Second)
		}
		if said["job 0"] != 3 || said["job 1"] != 3 {
			t.Errorf("said %v times in 150 seconds", said)
		}
	})
}
