package jobs

import (
	"strings"
	"testing"
)

func twoColumnJob(t testing.TB) *Job {
	t.Helper()
	key, err := ParseKeyTemplate("price:{shop}:{sku}")
	if err != nil {
		t.Fatal(err)
	}
	return &Job{Name: "price", Key: key}
}

func TestParseKey(t *testing.T) {
	job := twoColumnJob(t)
	key, err := ParseKey(job, []byte(`{"sku": 12345678901234567890.50, "shop": true}`))
	if err != nil || key["sku"] != "12345678901234567890.50" || key["shop"] != "true" {
		t.Errorf("%v, %v", key, err)
	}
	for text, want := range map[string]string{
		`7`:                              "is 7: a key is an object",
		`{"shop": 1}`:                    "lacks sku: the key of job price is price:{shop}:{sku}, so give shop, sku",
		`{"shop":1,"sku":2,"x":3}`:       `has "x", which is no key column`,
		`{"shop":1,"shop":2,"sku":3}`:    "gives shop twice",
		`{"shop":null,"sku":3}`:          "has null as shop",
		`{"shop":[1],"sku":3}`:           "has an object or an array as shop",
		`{"shop":1,"sku":2} {"shop": 1}`: "has something after the object",
		`{"shop":1,"sku":2`:              "is no complete JSON object",
		`{"shop":1,`:                     "is no JSON",
		``:                               "a key is an object",
	} {
		if _, err := ParseKey(job, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	job := twoColumnJob(f)
	for _, seed := range []string{`{"shop":5,"sku":1}`, `{"id":"x","id":1}`, `{`, `{"id"`, `{"id":[[{}]]}`, `null`,
		"{\"\\ud800\":1e999}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := ParseKey(job, text); err == nil && len(key) != 2 {
			t.Errorf("%q: %v", text, key)
		}
	})
}
