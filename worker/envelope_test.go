package worker

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/stokerhq/stoker/jobs"
)

// A value of format fastapi-redis has, of every kind, the JSON that format json has, to the byte, and the ETag of
// these bytes. Runs and refreshes write the same, and what is unchanged is not sent again. Broken by: a value that is
// put into two envelopes or into none, rows that are put into one each, a limit that forgets the envelope.
func TestFastAPIRedis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value    jobs.ValueKind
		key, sql string
		keys     int64
		args     []string
	}{
		{jobs.ValueRow, "{id}", "SELECT id, name, price, note FROM product", 3, []string{"id=1", "id=2", "id=3"}},
		{jobs.ValueRows, "{grp}", "SELECT grp, id, name, note FROM product ORDER BY grp, id", 2,
			[]string{"grp=1", "grp=2"}},
		{jobs.ValueRows, "all", "SELECT id FROM product WHERE id > 3", 1, nil},
		{jobs.ValueScalar, "{id}", "SELECT id, name FROM product", 3, []string{"id=1", "id=2", "id=3"}},
	} {
		plain, env := newJob("plain", c.value, "j:"+c.key, c.sql), newJob("env", c.value, "c:{{p}}:p:"+c.key, c.sql)
		env.Format = jobs.FormatFastAPIRedis
		r := newRig(t, plan{jobs: []*jobs.Job{plain, env}, sql: []string{
			"CREATE TABLE product (grp int, id int, name text, price numeric(10,2), note text)",
			`INSERT INTO product VALUES (1, 1, 'say "x" \ ☃', 1.50, E'\n\t\x01'), (1, 2, NULL, 2, ''), (2, 3, 'n', 0, '')`}})
		compare := func() {
			t.Helper()
			texts, found := r.texts(), int64(0)
			for key, text := range texts {
				name, ours := strings.CutPrefix(key, "c:{p}:p:")
				if !ours {
					continue
				}
				found++
				var entry struct{ Body, ETag string }
				if err := json.Unmarshal([]byte(text), &entry); err != nil {
					t.Fatalf("%s: %v", key, err)
				}
				h, _ := blake2b.New(16, nil)
				h.Write([]byte(entry.Body))
				if want := `W/"` + hex.EncodeToString(h.Sum(nil)) + `"`; entry.Body != texts["j:"+name] || entry.ETag != want {
					t.Errorf("%s is %s, want body %s, ETag %s", key, text, texts["j:"+name], want)
				}
			}
			if found != c.keys {
				t.Errorf("%s: %d keys, want %d", c.value, found, c.keys)
			}
		}
		r.run("plain")
		r.run("env")
		compare()
		r.exec("UPDATE product SET name = name") // something was committed
		if rec := r.run("env"); rec.Kept != c.keys {
			t.Errorf("%s: a run of what is unchanged has kept %d keys of %d", c.value, rec.Kept, c.keys)
		}
		for _, job := range []string{"plain", "env"} {
			if _, err := r.refreshed(job, false, c.args...); err != nil {
				t.Fatal(err)
			}
		}
		compare()
	}
}

// Broken by: a limit that is held against the JSON alone.
func TestFastAPIRedisOverTheLimit(t *testing.T) {
	t.Parallel()
	for _, value := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
		env := newJob("env", value, "c:{id}", `SELECT id, repeat('"', n) AS note FROM (VALUES (1, 10), (2, 100)) v(id, n)`)
		env.Format, env.MaxValueBytes = jobs.FormatFastAPIRedis, 400
		r := newRig(t, plan{jobs: []*jobs.Job{env}})
		rec := r.run("env")
		if texts := r.texts(); rec.Oversized != 1 || len(texts) != 1 || texts["c:1"] == "" {
			t.Errorf("%s: %+v: %q", value, rec, texts)
		}
	}
}

// Columns that only make the key stand in no value, and still make the key, by run and by refresh. Broken by: a column
// that is omitted before the key is made, a value in which cells have moved under other names.
func TestOmit(t *testing.T) {
	t.Parallel()
	const query = "SELECT id, md5('k' || id) AS k, name, at FROM product ORDER BY k, id"
	row, rows := newJob("row", jobs.ValueRow, "row:{k}", query), newJob("rows", jobs.ValueRows, "rows:{k}", query)
	hash := newJob("hash", jobs.ValueRow, "hash:{k}", query)
	row.Omit, rows.Omit, hash.Omit, hash.Type = []string{"k"}, []string{"at", "k"}, []string{"k", "id"}, jobs.TypeHash
	r := newRig(t, plan{jobs: []*jobs.Job{row, rows, hash}, sql: []string{
		"CREATE TABLE product (id int, name text, at timestamptz)",
		"INSERT INTO product SELECT i, nullif('n' || i, 'n7'), timestamptz 'epoch' + i * interval '1 hour' FROM " +
			"generate_series(1, 300) i"}})
	want := `SELECT 'row:' || md5('k' || id), (SELECT row_to_json(q)::text FROM (SELECT p.id, p.name, p.at) q) FROM product p
		UNION ALL SELECT 'rows:' || md5('k' || id), '[' || (SELECT row_to_json(q) FROM (SELECT p.id, p.name) q) || ']'
		FROM product p`
	r.run("row")
	r.run("rows")
	r.wantCache(want)
	r.exec("UPDATE product SET name = name")
	if rec := r.run("row"); rec.Kept != 300 {
		t.Errorf("a run of what is unchanged has kept %d keys of 300", rec.Kept)
	}
	r.exec("UPDATE product SET name = 'new' WHERE id < 5", "DELETE FROM product WHERE id = 5")
	keys := slices.Collect(maps.Keys(r.want("SELECT 'k=' || md5('k' || i), '' FROM generate_series(1, 5) i")))
	for _, job := range []string{"row", "rows"} {
		if out, err := r.refreshed(job, false, keys...); err != nil || out.Removed != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	}
	r.wantCache(want)
	r.run("hash")
	for key, name := range r.want("SELECT 'hash:' || md5('k' || id), coalesce(name, '') FROM product") {
		got := r.redis.HGetAll(t.Context(), key).Val()
		if _, has := got["id"]; has || got["k"] != "" || got["name"] != name || got["at"] == "" {
			t.Fatalf("%s is %q", key, got)
		}
	}
}

// Broken by: a column that is not there and is taken for omitted, a value that has nothing left.
func TestOmitMisfits(t *testing.T) {
	t.Parallel()
	for omit, want := range map[string]string{
		"kk":   "job j: omit names column kk, which the query does not return; it returns: id, k",
		"id k": "job j: omit leaves no column for the value: take one off it, or select one more",
	} {
		j := newJob("j", jobs.ValueRow, "p:{k}", "SELECT 1 AS id, 2 AS k")
		j.Omit = strings.Fields(omit)
		r := newRig(t, plan{jobs: []*jobs.Job{j}})
		_, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || len(r.texts()) > 0 {
			t.Errorf("omit %q: %v", omit, err)
		}
	}
}
