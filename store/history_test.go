package store

import "testing"

// Broken by: a sign that is not read taken for another history, so that two roles with
// other rights, or a GRANT, begin epochs in turns; an archiver that was started anew
// taken for a crash; one process number that was used before taken for no crash.
func TestSameHistory(t *testing.T) {
	const here = "71/00000001/1764.5/21,22,23,24"
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{here, here, true},
		{here, "72/00000001/1764.5/21,22,23,24", false}, // another server
		{here, "71/00000002/1764.5/21,22,23,24", false}, // promoted
		{here, "71/00000001/1765.5/21,22,23,24", false}, // restarted
		{here, "71/00000001/1764.5/41,42,43,44", false}, // recovered from a crash
		{here, "71/00000001/1764.5/24,42,43,44", false}, // one number has come again
		{here, "71/00000001/1764.5/21,22,23,90", true},  // the autovacuum launcher was started anew
		{here, "71/00000001/1764.5/21,22", true},
		{here, "71/00000001/1764.5/11,12,21,22,23", true}, // clients that log in on Postgres 18
		{here, "71/00000001/1764.5/", true},
		{here, "///", true},
		{here, "71//1764.5/", true},
		{here, "71//1765.5/", false},
		{here, "/00000002//", false},
		{"71///21", "71///21,30", true},
		{"71///21", "71///22,30", false},
		// not of this form
		{"A", "A", true},
		{"A", "B", false},
		{"A", here, false},
		{"", here, false},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			if got := SameHistory(pair[0], pair[1]); got != test.want {
				t.Errorf("SameHistory(%q, %q) = %v", pair[0], pair[1], got)
			}
		}
	}
}

func TestFullerOrigin(t *testing.T) {
	for _, test := range []struct{ known, seen, want string }{
		{"71/1/2/3,4", "71/1/2/3,4,5", "71/1/2/3,4"},
		{"71//2/", "/1//3,4", "71/1/2/3,4"},
		{"71/1/2/3", "///", "71/1/2/3"},
		{"///", "///", "///"},
		{"A", "71/1/2/3", "A"},
		{"71/1/2/3", "A", "71/1/2/3"},
	} {
		if got := FullerOrigin(test.known, test.seen); got != test.want {
			t.Errorf("FullerOrigin(%q, %q) = %q, want %q", test.known, test.seen, got, test.want)
		}
	}
}
