package store

import "testing"

func TestSnapshotShows(t *testing.T) {
	const turn = 1 << 32
	for _, test := range []struct {
		snapshot string
		xid      uint32
		want     bool
	}{
		{"10:20:", 19, true},
		{"10:20:", 20, false}, // xmax is the first that is not shown
		{"10:20:", 21, false},
		{"10:20:12,15", 12, false},
		{"10:20:12,15", 15, false},
		{"10:20:12,15", 13, true},
		{"10:20:12,15", 3, true},
		// At the turn: the snapshot has xids of 64 bits, the log of 32.
		{"4294967290:4294967300:4294967291,4294967298", 4294967292, true},
		{"4294967290:4294967300:4294967291,4294967298", 4294967291, false},
		{"4294967290:4294967300:4294967291,4294967298", 4294967298 % turn, false},
		{"4294967290:4294967300:4294967291,4294967298", 4294967299 % turn, true},
		{"4294967290:4294967300:4294967291,4294967298", 4294967300 % turn, false},
		{"4294967290:4294967295:", 4294967296 % turn, false}, // delivered before any snapshot was past the turn
		{"8589934592:8589934600:", 4294967295, true},         // of the round before
	} {
		got, err := Snapshot{Text: test.snapshot}.Shows(test.xid)
		if err != nil || got != test.want {
			t.Errorf("%s shows %d = %v, %v; want %v", test.snapshot, test.xid, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "1:2", "1:x:", "1:9:x"} {
		if _, err := (Snapshot{Text: bad}).Shows(5); err == nil {
			t.Errorf("snapshot %q is taken", bad)
		}
	}
}
