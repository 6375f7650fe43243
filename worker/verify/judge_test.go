package verify

import "testing"

// What a look means, by what was seen: a is the value of the row, b another, z
// none; x and y are marks in the book.
func TestJudge(t *testing.T) {
	faces := map[byte]fingerprint{'a': {'a'}, 'b': {'b'}, 'c': {'c'}, 'z': {}}
	at := func(s string) cacheRead { return cacheRead{face: faces[s[0]], mark: s[1:]} }
	compare := func(before, want, after string) *observation {
		return &observation{before: at(before), want: wanted{print: faces[want[0]]}, after: at(after)}
	}
	for _, tt := range []struct {
		name string
		last *observation
		now  *observation
		want verdict
	}{
		{"as it should be", nil, compare("a", "a", "a"), right},
		{"was right before a change", nil, compare("a", "a", "b"), right},
		{"has become right", nil, compare("b", "a", "a"), right},
		{"nothing where nothing belongs", nil, compare("z", "z", "z"), right},
		{"wrong at first sight", nil, compare("b", "a", "b"), again},
		{"gone at first sight", nil, compare("z", "a", "z"), again},
		{"still wrong", compare("b", "a", "b"), compare("b", "a", "b"), wrong},
		{"still gone", compare("z", "a", "z"), compare("z", "a", "z"), wrong},
		{"still there", compare("b", "z", "b"), compare("b", "z", "b"), wrong},
		{"moves as it is looked at", compare("b", "a", "b"), compare("b", "a", "c"), again},
		{"was fenced as it is looked at", compare("b", "a", "b"), compare("b", "a", "bx"), again},
		{"was fenced since", compare("b", "a", "b"), compare("bx", "a", "bx"), again},
		{"was fenced again since", compare("bx", "a", "bx"), compare("by", "a", "by"), again},
		{"has moved since", compare("b", "a", "b"), compare("c", "a", "c"), again},
		{"has expired since", compare("b", "a", "b"), compare("z", "a", "z"), again},
		{"the row has moved since", compare("b", "c", "b"), compare("b", "a", "b"), again},
		{"moved at the end of the last look", compare("b", "a", "c"), compare("b", "a", "b"), again},
	} {
		if got := judge(tt.last, *tt.now); got != tt.want {
			t.Errorf("%s: verdict %d, want %d", tt.name, got, tt.want)
		}
	}
}
