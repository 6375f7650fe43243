package store

import "testing"

func TestNines(t *testing.T) {
	for _, tt := range []struct {
		checked, stale int64
		nines          float64
		atLeast, ok    bool
	}{
		{0, 0, 0, false, false},
		{3000, 0, 3, true, true},
		{3_000_000, 0, 6, true, true},
		{1, 0, 0, true, true},          // one check shows nothing
		{4744, 1, 3, false, true},      // 4.744 is the bound of one
		{118_079, 100, 3, false, true}, // and 118.08 of a hundred
		{10, 10, 0, false, true},
		{1, 2, 0, false, true}, // counted by two at once
	} {
		nines, atLeast, ok := Audit{Checked: tt.checked, Stale: tt.stale}.Nines()
		if d := nines - tt.nines; d > 5e-3 || d < -5e-3 || atLeast != tt.atLeast || ok != tt.ok {
			t.Errorf("%d stale of %d: %v nines, at least %v, %v; want %+v", tt.stale, tt.checked, nines, atLeast, ok,
				tt)
		}
	}
}
