package store

import "testing"

func TestNines(t *testing.T) {
	for _, tt := range []struct {
		checked, stale int64
		nines          float64
		atLeast, ok    bool
	}{
		{0, 0, 0, false, false},
		{1000, 0, 3, true, true},
		{1000, 1, 3, false, true},
		{100_000, 100, 3, false, true},
		{10, 10, 0, false, true},
		{1, 2, 0, false, true}, // counted by two at once
	} {
		nines, atLeast, ok := Audit{Checked: tt.checked, Stale: tt.stale}.Nines()
		if d := nines - tt.nines; d > 1e-9 || d < -1e-9 || atLeast != tt.atLeast || ok != tt.ok {
			t.Errorf("%d stale of %d: %v nines, at least %v, %v; want %+v", tt.stale, tt.checked, nines, atLeast, ok,
				tt)
		}
	}
}
