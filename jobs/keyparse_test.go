package jobs

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeyParse(t *testing.T) {
	for _, tt := range []struct {
		template, key string
		fit           KeyFit
		want          Key
	}{
		{"product:{id}", "product:42", OneFit, Key{"id": "42"}},
		{"product:{id}", "product:a:b", OneFit, Key{"id": "a:b"}},
		{"product:{id}", "product:", OneFit, Key{"id": ""}},
		{"product:{id}", "produkt:42", NoFit, nil},
		{"product:{id}:v1", "product:1:v1:v1", OneFit, Key{"id": "1:v1"}},
		{"product:{id}:v1", "product:1:v2", NoFit, nil},
		{"p{id}p", "p", NoFit, nil},
		{"all", "all", OneFit, Key{}},
		{"all", "all2", NoFit, nil},
		{"stock:{site}:{sku}", "stock:x:b", OneFit, Key{"site": "x", "sku": "b"}},
		{"stock:{site}:{sku}", "stock:x:a:1", ManyFits, nil},
		{"stock:{site}:{sku}", "stock:xa", NoFit, nil},
		{"{a}{b}", "12", ManyFits, nil},
		{"{a}{b}", "", OneFit, Key{"a": "", "b": ""}},
		{"{a}:{b}:{a}", "1:2:1", OneFit, Key{"a": "1", "b": "2"}},
		{"{a}:{b}:{a}", "1:2:3", NoFit, nil},
		{"{a}:{b}:{a}", "1:1:1:1", OneFit, Key{"a": "1", "b": "1:1"}},
		{"{a}:{b}:{a}", "1:1:1:1:1", ManyFits, nil},
		{"{a}{a}", "abab", OneFit, Key{"a": "ab"}},
		{"{{t}}:{id}", "{t}:7", OneFit, Key{"id": "7"}},
	} {
		k, err := ParseKeyTemplate(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		got, fit := k.Parse(tt.key)
		if diff := cmp.Diff(tt.want, got); fit != tt.fit || diff != "" {
			t.Errorf("%q read as %q: fit %d, want %d (-want +got):\n%s", tt.key, tt.template, fit, tt.fit, diff)
		}
	}
}

// A key that was made to mislead costs bounded time.
func TestKeyParseGivesUp(t *testing.T) {
	k, err := ParseKeyTemplate("{a}{b}{c}{a}{b}{c}x")
	if err != nil {
		t.Fatal(err)
	}
	if _, fit := k.Parse(strings.Repeat("a", 5001) + "x"); fit == OneFit {
		t.Error("a key that can be read in many ways is read in one")
	}
}

func TestKeyPattern(t *testing.T) {
	for template, want := range map[string]string{
		"product:{id}":  "product:*",
		"all":           "all",
		"{a}:{b}":       "*:*",
		`a*b?[c]\{{{x}`: `a\*b\?\[c\]\\{*`,
		"{{t}}:{id}":    "{t}:*",
	} {
		k, err := ParseKeyTemplate(template)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Pattern(); got != want {
			t.Errorf("%s: pattern %s, want %s", template, got, want)
		}
	}
}

// readsBack holds one rendered key to what Parse may say of it.
func readsBack(t *testing.T, k *KeyTemplate, values []string) KeyFit {
	t.Helper()
	key := render(k, values...)
	got, fit := k.Parse(key)
	switch fit {
	case NoFit:
		t.Fatalf("%q is made by %q of %q, and does not fit it", key, k, values)
	case OneFit:
		for i, name := range k.Columns() {
			if got[name] != values[i] {
				t.Fatalf("%q, made by %q of %q, is read as %q", key, k, values, got)
			}
		}
	}
	if ok, err := path.Match(k.Pattern(), key); err == nil && !ok && !strings.Contains(key, "/") {
		t.Fatalf("%q does not match the pattern %q of %q", key, k.Pattern(), k)
	}
	return fit
}

// Whatever template and values: a key that is read back in one way is read back
// as what it was made of.
func TestKeyParseReadsBackWhatWasRendered(t *testing.T) {
	pieces := []string{":", "a", "{{", "}}", "*", "x:", "{a}", "{b}", "{c}", "[", "?"}
	texts := []string{"", "1", "a", ":", "x:y", "{", "*", "aa", "ü"}
	var fits [3]int
	for range 20_000 {
		var b strings.Builder
		for range 1 + rand.IntN(6) {
			b.WriteString(pieces[rand.IntN(len(pieces))])
		}
		k, err := ParseKeyTemplate(b.String())
		if err != nil {
			continue
		}
		values := make([]string, len(k.Columns()))
		for i := range values {
			values[i] = texts[rand.IntN(len(texts))]
		}
		fits[readsBack(t, k, values)]++
	}
	if fits[OneFit] < 1000 || fits[ManyFits] < 1000 {
		t.Errorf("the test is blind: %d keys were read back in one way, %d in many", fits[OneFit], fits[ManyFits])
	}
}

func FuzzKeyParse(f *testing.F) {
	f.Add("product:{id}", "42", "")
	f.Add("{a}:{b}", "1:2", "3")
	f.Add("{a}{b}{a}", "x", "xx")
	f.Fuzz(func(t *testing.T, template, a, b string) {
		k, err := ParseKeyTemplate(template)
		if err != nil || len(k.Columns()) > 2 {
			return
		}
		readsBack(t, k, []string{a, b}[:len(k.Columns())])
	})
}
