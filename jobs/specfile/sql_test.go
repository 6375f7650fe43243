package specfile

import (
	"slices"
	"strings"
	"testing"
)

func TestTrimQuery(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1":                             "SELECT 1",
		"SELECT 1;":                            "SELECT 1",
		"SELECT 1 ; ;\n":                       "SELECT 1",
		"SELECT 1; -- done":                    "SELECT 1  -- done",
		"SELECT 1; -- done\n":                  "SELECT 1  -- done",
		"SELECT 1 -- ; done\n;":                "SELECT 1 -- ; done",
		"SELECT 1 -- a\r;":                     "SELECT 1 -- a",
		"SELECT 1 /* ; */ ; /* a /* b */ ; */": "SELECT 1 /* ; */   /* a /* b */ ; */",
		"/*tag='a'*/ SELECT /*b*/ 1 /*c*/;":    "/*tag='a'*/ SELECT /*b*/ 1 /*c*/",
		"SELECT 1 /*traceparent='00-a-b-01'*/": "SELECT 1 /*traceparent='00-a-b-01'*/",
		"SELECT 1; SELECT 2;":                  "SELECT 1; SELECT 2",
		"-- first\nSELECT 1":                   "-- first\nSELECT 1",
		"SELECT ';'":                           "SELECT ';'",
		"SELECT '--';":                         "SELECT '--'",
		"SELECT 'it''s; ';":                    "SELECT 'it''s; '",
		`SELECT E'\';'; -- x`:                  `SELECT E'\';'  -- x`,
		`SELECT E'a''\'; -- '; -- x`:           `SELECT E'a''\'; -- '  -- x`,
		`SELECT type'\'; -- x`:                 `SELECT type'\'  -- x`,
		`SELECT '\' ; -- x`:                    `SELECT '\'   -- x`,
		`SELECT ";" AS "--";`:                  `SELECT ";" AS "--"`,
		"SELECT $$;--$$;":                      "SELECT $$;--$$",
		"SELECT $a$ $$ ; $a$ ; --":             "SELECT $a$ $$ ; $a$   --",
		"SELECT a$b$ FROM t; -- $b$":           "SELECT a$b$ FROM t  -- $b$",
		"SELECT $1; -- p":                      "SELECT $1  -- p",
		"SELECT 5 - -5; --":                    "SELECT 5 - -5  --",
		"SELECT 4 / 2; /* never closed":        "SELECT 4 / 2  /* never closed",
		"SELECT 'never closed; --":             "SELECT 'never closed; --",
		"; -- nothing":                         "",
		"SELECT 'é';--é":                       "SELECT 'é' --é",
	} {
		if got := trimQuery(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTokens(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		" \n-- nothing\n/* at all */":        "",
		"SELECT a.b,c1 FROM t -- x":          "SELECT|a|.|b|,|c1|FROM|t",
		"x/**/=-1.5e3":                       "x|=|-|1|.|5e3",
		`SELECT E'a\'b' "c""d" 'e''f' 'g`:    `SELECT|E|'a\'b'|"c""d"|'e''f'|'g`,
		"a$b$ $1 $$ x y $$ $t$ 'z' $$ $t$ é": "a$b$|$1|$$ x y $$|$t$ 'z' $$ $t$|é",
	} {
		if got := strings.Join(slices.Collect(tokens(in)), "|"); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
}

// Whatever the text is, trimming ends, keeps every token and comment in its place, and
// leaves nothing to trim.
func FuzzTrimQuery(f *testing.F) {
	f.Add("SELECT E'\\'' /* ; */ -- $a$")
	f.Add("$a$;'\"/*")
	f.Fuzz(func(t *testing.T, s string) {
		got := trimQuery(s)
		if len(got) > len(s) || trimQuery(got) != got {
			t.Errorf("%q: got %q", s, got)
		}
		for i := range len(got) {
			if got[i] != s[i] && (got[i] != ' ' || s[i] != ';') {
				t.Errorf("%q: got %q, which differs at %d", s, got, i)
			}
		}
	})
}
