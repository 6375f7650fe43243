package worker

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/jobs"
)

const formatSQL = "SELECT g AS grp, i AS id, 'n' || i AS name, repeat('long ', CASE WHEN i = 3 THEN 1000 ELSE 1 " +
	"END) AS text, NULL::text AS nothing FROM (VALUES (1, 1), (1, 2), (2, 3)) AS v(g, i) ORDER BY g, i"

// decoders read a value as an API node would.
var decoders = map[jobs.Format]func([]byte) (any, error){
	jobs.FormatJSON: func(b []byte) (v any, err error) { return v, json.Unmarshal(b, &v) },
	jobs.FormatMsgpack: func(b []byte) (v any, err error) {
		err = msgpack.Unmarshal(b, &v)
		return v, err
	},
	jobs.FormatCBOR: func(b []byte) (any, error) {
		mode, err := cbor.DecOptions{DefaultMapType: nil}.DecMode()
		if err != nil {
			return nil, err
		}
		var v any
		return v, mode.Unmarshal(b, &v)
	},
}

// plainly makes what the formats' libraries return comparable.
func plainly(v any) string {
	switch v := v.(type) {
	case map[string]any:
		out := ""
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out += k + "=" + plainly(v[k]) + ";"
		}
		return out
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[fmt.Sprint(k)] = x
		}
		return plainly(m)
	case []any:
		out := "["
		for _, x := range v {
			out += plainly(x) + ","
		}
		return out + "]"
	}
	return fmt.Sprint(v)
}

func unpack(t *testing.T, b []byte) []byte {
	t.Helper()
	var err error
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(r)
		}
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(nil); err == nil {
			b, err = d.DecodeAll(b, nil)
			d.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every format and compression holds what JSON holds, by run and by refresh, for
// each kind of value; and a second run sends nothing.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, value := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
		key := map[jobs.ValueKind]string{jobs.ValueRow: "k:{id}", jobs.ValueRows: "k:{grp}"}[value]
		want := map[string]string{}
		for _, format := range []jobs.Format{jobs.FormatJSON, jobs.FormatMsgpack, jobs.FormatCBOR} {
			for _, compress := range []jobs.Compression{jobs.CompressNone, jobs.CompressGzip, jobs.CompressZstd} {
				j := newJob("j", value, key, formatSQL)
				j.Format, j.Compress = format, compress
				r := newRig(t, plan{jobs: []*jobs.Job{j}})
				for _, write := range []func(){
					func() { r.run("j") },
					func() {
						if _, err := r.refreshed("j", false, formatArgs(value)...); err != nil {
							t.Fatal(err)
						}
					},
				} {
					write()
					got, small := map[string]string{}, 0
					for k, text := range r.texts() {
						b := unpack(t, []byte(text))
						if len(b) > len(text) {
							small++
						}
						v, err := decoders[format](b)
						if err != nil {
							t.Fatalf("%s %s: %v", format, k, err)
						}
						got[k] = plainly(v)
					}
					if len(want) == 0 {
						want = got
					}
					if d := cmp.Diff(want, got); d != "" || len(got) < 2 {
						t.Errorf("%s %s %s: %s", value, format, compress, d)
					}
					if (small == 1) != (compress != jobs.CompressNone) {
						t.Errorf("%s %s %s: %d values are compressed", value, format, compress, small)
					}
				}
			}
		}
	}
}

func formatArgs(value jobs.ValueKind) []string {
	if value == jobs.ValueRows {
		return []string{"grp=1", "grp=2"}
	}
	return []string{"id=1", "id=2", "id=3"}
}

// A hash has a field a column, none for NULL, and is replaced as a whole: no
// field of an older row stays.
func TestHashes(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "h:{id}", "SELECT id, name, price, tags FROM product")
	j.Type = jobs.TypeHash
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{
		"CREATE TABLE product (id int, name text, price numeric(10,2), tags text[])",
		`INSERT INTO product VALUES (1, 'a "b"', 1.50, '{x,y}'), (2, NULL, 2, NULL)`,
	}})
	want := func(key string, want map[string]string) {
		t.Helper()
		got, err := r.redis.HGetAll(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", key, d)
		}
		if len(want) > 0 && r.redis.TTL(t.Context(), key).Val() <= 0 {
			t.Errorf("%s has no TTL", key)
		}
	}
	if rec := r.run("j"); rec.Keys != 2 {
		t.Errorf("%+v", rec)
	}
	want("h:1", map[string]string{"id": "1", "name": `a "b"`, "price": "1.50", "tags": `["x","y"]`})
	want("h:2", map[string]string{"id": "2", "price": "2.00"})
	r.exec("UPDATE product SET name = 'n', price = NULL WHERE id = 2")
	if rec := r.run("j"); rec.Kept != 1 {
		t.Errorf("%+v", rec)
	}
	want("h:2", map[string]string{"id": "2", "name": "n"})
	r.exec("UPDATE product SET name = NULL WHERE id = 1", "DELETE FROM product WHERE id = 2")
	if out, err := r.refreshed("j", false, "id=1", "id=2"); err != nil || out.Removed != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	want("h:1", map[string]string{"id": "1", "price": "1.50", "tags": `["x","y"]`})
	want("h:2", map[string]string{})
}

// A ranking has the members of its rows, and is replaced as a whole: no member of an older one stays. Broken by: a
// score that changes and is taken for unchanged, a ranking without rows that stays.
func TestRankings(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRows, "top:{category}",
		"SELECT category, name AS member, sold AS score FROM product ORDER BY category, sold DESC")
	j.Type, j.ShrinkGuard = jobs.TypeZSet, 1
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{
		"CREATE TABLE product (category text, name text, sold numeric)",
		"INSERT INTO product VALUES ('a', 'lamp', 1.50), ('a', 'cup', 7), ('a', 'none', NULL), ('b', 'mug', -2)",
	}})
	want := func(key string, want ...redis.Z) {
		t.Helper()
		got, err := r.redis.ZRevRangeWithScores(t.Context(), key, 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", key, d)
		}
		if len(want) > 0 && r.redis.TTL(t.Context(), key).Val() <= 0 {
			t.Errorf("%s has no TTL", key)
		}
	}
	if rec := r.run("j"); rec.Keys != 2 {
		t.Errorf("%+v", rec)
	}
	want("top:a", redis.Z{Score: 7, Member: "cup"}, redis.Z{Score: 1.5, Member: "lamp"})
	want("top:b", redis.Z{Score: -2, Member: "mug"})
	r.exec("UPDATE product SET sold = 9 WHERE name = 'lamp'", "DELETE FROM product WHERE name = 'cup'")
	if rec := r.run("j"); rec.Kept != 1 {
		t.Errorf("%+v", rec)
	}
	want("top:a", redis.Z{Score: 9, Member: "lamp"})
	r.exec("UPDATE product SET sold = 10 WHERE name = 'lamp'", "DELETE FROM product WHERE name = 'mug'")
	if out, err := r.refreshed("j", false, "category=a", "category=b"); err != nil || out.Removed != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	want("top:a", redis.Z{Score: 10, Member: "lamp"})
	want("top:b")
	r.exec("DELETE FROM product")
	r.run("j")
	want("top:a")
}

// A scalar as text is the bare text.
func TestText(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueScalar, "t:{id}", `SELECT i AS id, CASE WHEN i < 3 THEN 'say "' || i || '"' END AS v FROM generate_series(1, 3) i`)
	j.Format = jobs.FormatText
	r := newRig(t, plan{jobs: []*jobs.Job{j}})
	r.run("j")
	if d := cmp.Diff(map[string]string{"t:1": `say "1"`, "t:2": `say "2"`, "t:3": ""}, r.texts()); d != "" {
		t.Error(d)
	}
}
