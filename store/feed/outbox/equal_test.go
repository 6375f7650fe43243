package outbox_test

import (
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// Values that are equal and have several texts are several keys: an UPDATE from one to the other yields both.
// Broken by: texts that are folded by the column's own equality.
func TestOutboxYieldsEqualValuesOfSeveralTexts(t *testing.T) {
	watch := func(table string) []jobs.Watch {
		return []jobs.Watch{{Table: table, Key: map[string]string{"k": "k"}}}
	}
	r := newOutbox(t, map[string][]jobs.Watch{"a:{k}": watch("a"), "b:{k}": watch("b"), "c:{k}": watch("c"),
		"d:{k}": watch("d"), "e:{k}": watch("e")}, `
		CREATE EXTENSION citext;
		CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE a (k citext); CREATE TABLE b (k text COLLATE loose); CREATE TABLE c (k numeric);
		CREATE TABLE d (k bpchar); CREATE TABLE e (k varchar(9) COLLATE loose)`)
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"INSERT INTO a VALUES ('Ann'), ('ann')", []string{"a map[k:Ann]", "a map[k:ann]"}},
		{"UPDATE a SET k = 'ANN' WHERE k = 'ann'", []string{"a map[k:ANN]", "a map[k:Ann]", "a map[k:ann]"}},
		{"INSERT INTO b VALUES ('Ann'), ('ann')", []string{"b map[k:Ann]", "b map[k:ann]"}},
		{"UPDATE b SET k = 'ANN' WHERE k = 'ann'", []string{"b map[k:ANN]", "b map[k:Ann]", "b map[k:ann]"}},
		{"INSERT INTO c VALUES (1.5)", []string{"c map[k:1.5]"}},
		{"UPDATE c SET k = 1.50", []string{"c map[k:1.50]", "c map[k:1.5]"}},
		{"INSERT INTO d VALUES ('a ')", []string{"d map[k:a ]"}},
		{"UPDATE d SET k = 'a'", []string{"d map[k:a ]", "d map[k:a]"}},
		{"INSERT INTO e VALUES ('Ann'), ('ann')", []string{"e map[k:Ann]", "e map[k:ann]"}},
	} {
		r.exec(c.sql)
		r.want(c.sql, c.want...)
	}
}
