package specfile

import "testing"

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, set := map[string]string{"A": "1", "B_2": "${A}", "EMPTY": ""}[name]
		return value, set
	}
	for _, tt := range []struct {
		raw, want string
		used      bool
	}{
		{"plain", "plain", false},
		{"${A}", "1", true},
		{"x${A}y${A}z", "x1y1z", true},
		{"${B_2}", "${A}", true}, // a value is not read again
		{"${NONE:-d}", "d", true},
		{"${NONE:-}", "", true},
		{"${EMPTY:-d}", "d", true},
		{"${EMPTY}", "", true},
		{"${A:-d}", "1", true},
		{"${NONE:-a:-b}", "a:-b", true},
		{"$${A}", "${A}", false},
		{"$${A}${A}", "${A}1", true},
		{"$$${A}", "$${A}", false},
		{"id = ANY($1) AND x = $$q$$ $", "id = ANY($1) AND x = $$q$$ $", false},
		{"k:{id}:${A}", "k:{id}:1", true},
	} {
		got, used, mistakes := expand(tt.raw, lookup)
		if got != tt.want || used != tt.used || mistakes != nil {
			t.Errorf("expand(%q) = %q %v %v, want %q %v", tt.raw, got, used, mistakes, tt.want, tt.used)
		}
	}
	for raw, want := range map[string]int{"${NONE}": 1, "${NONE}${NEITHER}": 2, "${A": 1, "${}": 1, "${1}": 1,
		"${a-b}": 1, "${:-x}": 1} {
		if _, _, mistakes := expand(raw, lookup); len(mistakes) != want {
			t.Errorf("expand(%q): %v, want %d mistakes", raw, mistakes, want)
		}
	}
}

// What a variable holds cannot add to the YAML around it.
func TestEnvironmentCannotInjectYAML(t *testing.T) {
	spec, err := loadText(t, "postgres: {url: host=x}\nredis: {url: redis://c}\njobs: [{name: a, query: "+
		"\"${INJECTION}\", key: a}]\n")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := environment("INJECTION"); spec.Jobs[0].Query != want || !spec.Admin.Token.IsZero() {
		t.Errorf("query %q, token %q", spec.Jobs[0].Query, spec.Admin.Token.Reveal())
	}
}
