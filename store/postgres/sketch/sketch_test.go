package sketch

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/storetest"
)

// What Postgres takes for equal has one sketch, so that no key that is equal is left out; and most of what is not
// equal has another, or all of it goes to Postgres. Broken by: a sketch that minds case, a zero or a blank.
func TestSketchesAgreeWithPostgres(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	storetest.Exec(t, url, "CREATE EXTENSION citext")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for typ, tc := range map[string]struct {
		sketch Sketch
		texts  []string
	}{
		"citext": {Case, []string{"Ann@x.io", "ann@X.IO", "ANN@x.io ", "ÄNN", "änn", "ann", "KIT", "kit",
			"\u212aIT", "İ", "i",
			"I", "ı", "", "1", "ß", "SS", "ẞ", "Σ", "σ", "ς", "a\u0308nn", "ab", "AB"}},
		"numeric": {Number, []string{"1.5", "1.50", "+1.5", "01.500", " 1.5 ", "15e-1", "-1.5", "0", "-0", "0.0",
			".0", "0.", "+0",
			"-0.00", "100", "1e2", "1", "10", "0.1", ".1", "00.10", "NaN", "nan", "Infinity", "inf",
			"1000000000000000000000.10",
			"1000000000000000000000.1", "15", "5.1"}},
		"uuid": {UUID, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
			"{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
			"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"}},
		"int8": {Number, []string{"7", "007", "+7", " 7\t", "-7", "0", "-0", "70"}},
	} {
		missed := 0
		for _, a := range tc.texts {
			for _, b := range tc.texts {
				var equal bool
				if err := conn.QueryRow(t.Context(), "SELECT $1::text::"+typ+" = $2::text::"+typ, a,
					b).Scan(&equal); err != nil {
					t.Fatalf("%s %q %q: %v", typ, a, b, err)
				}
				left, ok1 := tc.sketch(a)
				right, ok2 := tc.sketch(b)
				if equal && ok1 && ok2 && left != right {
					t.Errorf("%s: %q and %q are equal, and have the sketches %q and %q", typ, a, b, left, right)
				}
				if !equal && ok1 && ok2 && left == right {
					missed++
				}
			}
		}
		if most := len(tc.texts) * len(tc.texts) / 3; missed > most {
			t.Errorf("%s: %d pairs go to Postgres in vain, at most %d", typ, missed, most)
		}
	}
}
