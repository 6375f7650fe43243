package jobs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func render(t *KeyTemplate, values ...string) string {
	return string(t.Append(nil, func(dst []byte, column int) []byte { return append(dst, values[column]...) }))
}

func TestKeyTemplate(t *testing.T) {
	for _, tt := range []struct {
		text    string
		columns []string
		values  []string
		want    string
	}{
		{"all", nil, nil, "all"},
		{"product:{id}", []string{"id"}, []string{"7"}, "product:7"},
		{"{a}{b}{a}", []string{"a", "b"}, []string{"1", "2"}, "121"},
		{"{b}:{a}:x", []string{"b", "a"}, []string{"1", "2"}, "1:2:x"},
		{"{{tag}}:{id}", []string{"id"}, []string{"7"}, "{tag}:7"},
		{"x:{{{id}}}", []string{"id"}, []string{"7"}, "x:{7}"},
		{"a {der Preis} €", []string{"der Preis"}, []string{"5"}, "a 5 €"},
		{"}}{{", nil, nil, "}{"},
		{"k:{id}", []string{"id"}, []string{"{id}"}, "k:{id}"},
		{"stoke:{id}", []string{"id"}, []string{""}, "stoke:"},
	} {
		k, err := ParseKeyTemplate(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.columns, k.Columns()); diff != "" {
			t.Errorf("%s: columns -want +got:\n%s", tt.text, diff)
		}
		if got := render(k, tt.values...); got != tt.want || k.String() != tt.text {
			t.Errorf("%s gives %q, want %q; String %q", tt.text, got, tt.want, k.String())
		}
	}
}

func TestKeyTemplateAppendsToWhatIsThere(t *testing.T) {
	k, err := ParseKeyTemplate("a:{id}")
	if err != nil {
		t.Fatal(err)
	}
	got := k.Append([]byte("before "), func(dst []byte, _ int) []byte { return append(dst, '1') })
	if string(got) != "before a:1" {
		t.Errorf("Append = %q", got)
	}
}

func TestKeyTemplateErrorSaysHowToMend(t *testing.T) {
	_, err := ParseKeyTemplate("product:{id")
	want := "has a { that is not closed at byte 9 (write {column}, or {{ for a literal brace)"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

func FuzzKeyTemplate(f *testing.F) {
	for _, seed := range []string{"product:{id}", "{{{a}}}", "{a}{b}", "}", "{", "{}", "#x", "a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKeyTemplate(text)
		if err != nil {
			if k != nil {
				t.Fatal("both a template and an error")
			}
			return
		}
		// Rendering every column as its own placeholder, and literal braces
		// doubled, must give the template back.
		var again strings.Builder
		for _, p := range k.parts {
			again.WriteString(strings.NewReplacer("{", "{{", "}", "}}").Replace(p.literal))
			if p.column >= 0 {
				fmt.Fprintf(&again, "{%s}", k.Columns()[p.column])
			}
		}
		if again.String() != text {
			t.Fatalf("%q came back as %q", text, again.String())
		}
	})
}
