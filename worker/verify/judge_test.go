package verify

import "testing"

// What a look means, by what was seen: a is the value of the row, b another, z
// none; x and y are marks in the book.
func TestJudge(t *testing.T) {
	faces := map[byte]fingerprint{'a': {'a'}, 'b': {'b'}, 'c': {'c'}, 'z': {}}
	at := func(s string) cacheRead { return cacheRead{face: faces[s[0]], mark: s[1:]} }
	look := func(before, want, after string) *observation {
		return &observation{before: at(before), want: wanted{print: faces[want[0]]}, after: at(after)}
	}
	for _, tt := range []struct {
		name string
		last *observation
		now  *observation
		want verdict
	}{
		{"as it should be", nil, look("a", "a", "a"), right},
		{"was right before a change", nil, look("a", "a", "b"), right},
		{"has become right", nil, look("b", "a", "a"), right},
		{"nothing where nothing belongs", nil, look("z", "z", "z"), right},
		{"wrong at first sight", nil, look("b", "a", "b"), again},
		{"gone at first sight", nil, look("z", "a", "z"), again},
		{"still wrong", look("b", "a", "b"), look("b", "a", "b"), wrong},
		{"still gone", look("z", "a", "z"), look("z", "a", "z"), wrong},
		{"still there", look("b", "z", "b"), look("b", "z", "b"), wrong},
		{"moves as it is looked at", look("b", "a", "b"), look("b", "a", "c"), again},
		{"was fenced as it is looked at", look("b", "a", "b"), look("b", "a", "bx"), again},
		{"was fenced since", look("b", "a", "b"), look("bx", "a", "bx"), again},
		{"was fenced again since", look("bx", "a", "bx"), look("by", "a", "by"), again},
		{"has moved since", look("b", "a", "b"), look("c", "a", "c"), again},
		{"has expired since", look("b", "a", "b"), look("z", "a", "z"), again},
		{"the row has moved since", look("b", "c", "b"), look("b", "a", "b"), again},
		{"moved at the end of the last look", look("b", "a", "c"), look("b", "a", "b"), again},
	} {
		if got := judge(tt.last, *tt.now); got != tt.want {
			t.Errorf("%s: verdict %d, want %d", tt.name, got, tt.want)
		}
	}
}
