package guess

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottleForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New()
		wrong := func() bool { return false }
		for i := range 2 * maxGuessers {
			th.Try(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), wrong)
		}
		if n := len(th.guessers); n > maxGuessers+1 {
			t.Errorf("%d addresses are remembered", n)
		}
		if v := th.Try("10.201.0.1:1", wrong); v != TooMany {
			t.Errorf("a guesser beyond those remembered gets %v, want %v", v, TooMany)
		}
		time.Sleep(time.Hour)
		th.Try("10.200.0.1:1", wrong)
		if n := len(th.guessers); n != 1 {
			t.Errorf("%d addresses are remembered an hour later, want 1", n)
		}
	})
}

func TestGuesser(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.1:5":                "10.0.0.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"[::ffff:10.0.0.1]:80":      "::ffff:10.0.0.1",
		"@":                         "@",
	} {
		if got := guesser(remote); got != want {
			t.Errorf("guesser(%s) is %s, want %s", remote, got, want)
		}
	}
}
