package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/storetest"
)

const shopSQL = `
CREATE TABLE product (id int PRIMARY KEY, name text, price numeric(10,2), note text);
INSERT INTO product SELECT i, 'p' || i, i, '' FROM generate_series(1, 300) i;
CREATE TABLE stock (site text, sku text, n int);
INSERT INTO stock VALUES ('x', 'a,"1', 1), ('x', 'b', 2), ('y', 'b', 3);
ANALYZE`

const shopSpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - name: product
    query: SELECT id, name, price, note FROM product
    key: "product:{id}"
    ttl: 1h
    max_value_bytes: 1KiB
  - name: stock
    query: SELECT * FROM stock ORDER BY site, sku
    key: "stock:{site}:{sku}"
    value: rows
  - name: total
    query: SELECT count(*) AS n FROM product
    key: "total"
    value: scalar
  - name: broken
    query: |
      SELECT id,
        nmae FROM product
    key: "broken:{id}"
`

// shop is a database, an empty Redis and a spec for them.
func newShop(t *testing.T) (vars map[string]string, spec string) {
	t.Helper()
	vars = map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	storetest.Exec(t, vars["PG"], strings.Split(shopSQL, ";\n")...)
	return vars, specFile(t, shopSpec)
}

// want holds a result against its status and text; figures that vary from run
// to run are masked on both sides.
func (r result) want(t *testing.T, status int, stdout, stderr string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d", r.status, status)
	}
	if diff := cmp.Diff(stdout, mask(r.stdout)); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(stderr, mask(r.stderr)); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

var masks = []struct {
	re *regexp.Regexp
	by string
}{
	// On a busy machine a command may take so long that it says how far it is.
	{regexp.MustCompile(`(?m)^[a-z-]+: [0-9]+ keys, [0-9.]+ [KM]?i?B, [0-9]+ keys/s(, [0-9]+%)?(, [^ ]+ left)?\n`), ""},
	{regexp.MustCompile(`[0-9.]+ seconds, [0-9]+ keys/s`), "N seconds, N keys/s"},
	{regexp.MustCompile(`[0-9.]+ seconds`), "N seconds"},
	{regexp.MustCompile(`removed, [0-9.]+(ms|s|µs)`), "removed, N"},
	{regexp.MustCompile(`(?m)^([a-z]+( +[0-9]+){9} +)[0-9.]+(ms|s|µs)$`), "${1}N"},
	{regexp.MustCompile(`ok in [0-9.]+(ms|s|µs)`), "ok in N"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`), "ID"},
	{regexp.MustCompile(`TTL [0-9a-z.]+`), "TTL N"},
	{regexp.MustCompile(`version [0-9.]+ \([^)]*\)|version [0-9.]+`), "version N"},
	{regexp.MustCompile(`[a-z]+://[^ ,\n]+`), "URL"},
	{regexp.MustCompile(`/[^ ]*/stoker\.yaml`), "stoker.yaml"},
	{regexp.MustCompile(`(?m) +$`), ""},
}

func mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.by)
	}
	return s
}

func TestWrongCommandsDoNothing(t *testing.T) {
	vars, spec := newShop(t)
	for line, want := range map[string]string{
		"warm":               "name the jobs to warm, or give --all",
		"warm produkt":       `no job "produkt" in stoker.yaml; it has: product, stock, total, broken`,
		"warm product --all": "give job names or --all, not both",
		"invalidate product": "name the keys of job product as id=..., or give --where column=value or --all",
		"invalidate product --where id": `--where: "id" is not column=value: name a column of the job's query, as in ` +
			"category=books",
		"invalidate product id=1 --where id=2":  "give keys or --where, not both",
		"invalidate product --where id=2 --all": "give --where or --all, not both",
		"invalidate product --where colour=red": `job product: its query returns no column "colour"; it returns: id, name, price, note`,
		"invalidate nope --where id=2":          `no job "nope" in stoker.yaml; it has: product, stock, total, broken`,
		"invalidate product --where id=seven": `job product: value "seven" does not fit column id of type integer: ` +
			`invalid input syntax for type integer: "seven"`,
		"invalidate --where id=7 --where id=x": `job product: value "x" does not fit column id of type integer: ` +
			`invalid input syntax for type integer: "x"; nothing was done: name the jobs that are meant, to leave this one out`,
		"invalidate product 42":                  `key "42": "42" is not column=value; job product takes id=...`,
		"invalidate product sku=42":              `key "sku=42" lacks id: the key of job product is product:{id}, so give id`,
		"invalidate product id=1,id=2":           `key "id=1,id=2": column id is there twice`,
		"invalidate product id=1 --all":          "give keys or --all, not both",
		"invalidate product id=seven":            `job product: value "seven" does not fit key column id of type integer: invalid input syntax for type integer: "seven"`,
		"invalidate product id=1 id=99999999999": `job product: value "99999999999" does not fit key column id of type integer: value "99999999999" is out of range for type integer`,
		"invalidate product id=seven --local":    `job product: value "seven" does not fit key column id of type integer: invalid input syntax for type integer: "seven"`,
		"invalidate stock site=x":                `key "site=x" lacks sku: the key of job stock is stock:{site}:{sku}, so give site, sku`,
		`invalidate stock site=x,sku="a`:         `key "site=x,sku=\"a": a quote is not closed`,
		`invalidate stock site="x"y,sku=b`:       `key "site=\"x\"y,sku=b": after the closing quote comes "y,sku=b", not a comma`,
		"invalidate total n=1":                   "job total takes no columns: its one key is total",
		"preview product --limit 0":              "--limit is 0: give 1 or more",
		"run --roles worker,boss":                `--roles: "boss" is no role; they are: scheduler, worker, changes, admin`,
		"demo --redis none":                      `--redis is "none": give server or embedded`,
	} {
		t.Run(line, func(t *testing.T) {
			stoker(t, vars, append(strings.Fields(line), "--config", spec)...).want(t, 2, "", "stoker: "+want+"\n")
		})
	}
	for line, want := range map[string]string{
		"wram product":           "unknown command \"wram\" for \"stoker\"\n\nDid you mean this?\n\twarm\n",
		"warm product --weit":    "unknown flag: --weit",
		"status now":             `unknown command "now" for "stoker status"`,
		"status --log-level big": `--log-level is "big": give debug, info, warn or error`,
	} {
		t.Run(line, func(t *testing.T) {
			stoker(t, vars, append(strings.Fields(line), "--config", spec)...).want(t, 2, "",
				"stoker: "+want+"\nTry 'stoker help'.\n")
		})
	}
	keys := client(t, vars["RD"]).Keys(t.Context(), "*").Val()
	slices.Sort(keys) // to hold a value against its column, the cache is armed first: that leaves an empty book
	if d := cmp.Diff([]string{"stoker:epoch:postgres", "stoker:{cache}:book"}, keys); d != "" {
		t.Errorf("wrong commands left keys: %s", d)
	}
}

// A spec with ten mistakes gets ten located problems and exit status 2, from
// every command that reads it.
func TestTenMistakes(t *testing.T) {
	const file = "../../jobs/specfile/testdata/ten.bad.yaml"
	for _, command := range []string{"check", "run", "warm x", "status"} {
		r := stoker(t, map[string]string{"DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost"},
			append(strings.Fields(command), "--config", file)...)
		located := regexp.MustCompile(`(?m)^\S*ten\.bad\.yaml:\d+:\d+: .+$`).FindAllString(r.stderr, -1)
		if r.status != 2 || len(located) != 10 || !strings.HasSuffix(r.stderr, "stoker: 10 problems\n") ||
			r.stdout != "" {
			t.Errorf("%s: status %d, %d located problems\n%s", command, r.status, len(located), r.stderr)
		}
	}
}

func TestLocalWarmAndInvalidate(t *testing.T) {
	vars, spec := newShop(t)
	c := client(t, vars["RD"])
	ctx := t.Context()
	run := func(args ...string) result { t.Helper(); return stoker(t, vars, append(args, "--config", spec)...) }

	run("warm", "product", "stock", "total", "--local").want(t, 0, `product: 300 keys, 17.2 KiB, N seconds, N keys/s
stock: 3 keys, 124 B, N seconds, N keys/s
total: 1 keys, 8 B, N seconds, N keys/s
`, "")
	get := func(key, want string) {
		t.Helper()
		if got := c.Get(ctx, key).Val(); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	get("product:7", `{"id":7,"name":"p7","price":7.00,"note":""}`)
	get(`stock:x:a,"1`, `[{"site":"x","sku":"a,\"1","n":1}]`)
	get("total", "300")

	storetest.Exec(t, vars["PG"], "UPDATE product SET price = 1", "DELETE FROM product WHERE id = 8",
		"UPDATE stock SET n = 9", "DELETE FROM stock WHERE site = 'y'")
	run("invalidate", "product", "id=7", "id=08", "id=1000", "--local").want(t, 0,
		"product: 1 keys loaded, 1 removed, N\n", "")
	get("product:7", `{"id":7,"name":"p7","price":1.00,"note":""}`)
	get("product:9", `{"id":9,"name":"p9","price":9.00,"note":""}`)
	get("product:8", "")
	run("invalidate", "stock", `site=x,sku="a,""1"`, "sku=b,site=y", "--local").want(t, 0,
		"stock: 1 keys loaded, 1 removed, N\n", "")
	get(`stock:x:a,"1`, `[{"site":"x","sku":"a,\"1","n":9}]`)
	get("stock:x:b", `[{"site":"x","sku":"b","n":2}]`)
	run("invalidate", "total", "--local").want(t, 0, "total: 1 keys loaded, 0 removed, N\n", "")
	get("total", "299")
	run("invalidate", "product", "id=7", "--remove", "--local").want(t, 0, "product: 0 keys loaded, 1 removed, N\n", "")
	get("product:7", "")
	run("invalidate", "product", "--all", "--remove", "--local").want(t, 0, "product: 298 keys removed, N seconds\n",
		"")
	get("product:9", "")
}

func TestAKeyThatIsTooLargeFailsAlone(t *testing.T) {
	vars, spec := newShop(t)
	storetest.Exec(t, vars["PG"], "UPDATE product SET note = repeat('x', 2000) WHERE id = 5")
	r := stoker(t, vars, "warm", "product", "--local", "--config", spec)
	const why = "key product:5: a value of 2043 bytes is over max_value_bytes (1024): it was not written; select " +
		"less, or raise max_value_bytes"
	if r.status != 1 || !strings.Contains(r.stdout, "299 keys") ||
		!strings.Contains(r.stdout, "1 keys NOT written: "+why) || !strings.Contains(r.stderr, why) {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

func TestAQueryThatFailsIsLocated(t *testing.T) {
	vars, spec := newShop(t)
	const why = `query of job broken: column "nmae" does not exist (SQLSTATE 42703) at line 2, column 3 of the query; hint: Perhaps you meant to reference the column "product.name" or the column "product.note".`
	r := stoker(t, vars, "warm", "broken", "total", "--local", "--config", spec)
	if r.status != 1 || !strings.Contains(r.stderr, "stoker: broken: "+why) ||
		!strings.Contains(r.stdout, "total: 1 keys") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	stoker(t, vars, "preview", "broken", "--config", spec).want(t, 1, "", "stoker: "+why+"\n")
}

func TestPreviewWritesNothing(t *testing.T) {
	vars, spec := newShop(t)
	stoker(t, vars, "preview", "product", "--limit", "2", "--config", spec).want(t, 0, `product:1  (43 B, TTL N)
  {"id":1,"name":"p1","price":1.00,"note":""}
product:2  (43 B, TTL N)
  {"id":2,"name":"p2","price":2.00,"note":""}
product: 2 keys shown, 104 B; nothing was written
a run writes about 300 keys, 15.2 KiB, which take some 44.5 KiB of Redis' memory (by the rows that the planner expects)
`, "")
	r := stoker(t, vars, "preview", "stock", "--json", "--config", spec)
	var entries []previewEntry
	if err := json.Unmarshal([]byte(r.stdout), &entries); err != nil || r.status != 0 || len(entries) != 3 ||
		entries[1].Key != "stock:x:b" || entries[1].Bytes != 30 {
		t.Errorf("status %d, %v, %+v", r.status, err, entries)
	}
	if keys := client(t, vars["RD"]).Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("preview left keys: %v", keys)
	}
}

func TestCheck(t *testing.T) {
	vars, spec := newShop(t)
	stoker(t, vars, "check", "--config", spec).want(t, 1, `pass  spec      stoker.yaml with 4 jobs
pass  redis     version N at URL
pass  queue     maxmemory_policy noeviction keeps queued tasks
pass  postgres  version N at URL, as stoker
pass  product   key product:{id}, row, about 300 rows: id integer, name text, price numeric(10,2), note text
pass  stock     key stock:{site}:{sku}, rows, about 3 rows: site text, sku text, n integer
pass  total     key total, scalar, about 1 rows: n bigint
fail  broken    query of job broken: column "nmae" does not exist (SQLSTATE 42703) at line 2, column 3 of the query; hint: Perhaps you meant to reference the column "product.name" or the column "product.note".
7 passed, 0 warnings, 1 failed
`, "")
	good := specFile(t, strings.Split(shopSpec, "  - name: broken")[0])
	if r := stoker(t, vars, "check", "--json", "--config", good); r.status != 0 {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

func TestCheckTellsWhatIsNotReady(t *testing.T) {
	vars, _ := newShop(t)
	name := vars["PG"][strings.LastIndex(vars["PG"], "/")+1 : strings.Index(vars["PG"], "?")]
	storetest.Exec(t, vars["PG"], "CREATE TABLE big AS SELECT i AS id, i % 100 AS n FROM generate_series(1, 100000) i",
		"CREATE INDEX ON big (id)", "ANALYZE big",
		"CREATE ROLE r_"+name+" LOGIN PASSWORD 'secret-word'", "GRANT SELECT ON big TO r_"+name)
	vars["PG"] = strings.Replace(regexp.MustCompile(`//[^@]+@`).ReplaceAllString(vars["PG"],
		"//r_"+name+":secret-word@"), "secret-word", "${WORD}", 1)
	vars["WORD"] = "secret-word"
	spec := specFile(t, `postgres: {url: "`+vars["PG"]+`"}
redis: {url: "${RD}"}
defaults: {time_zone: UTC}
jobs:
  - {name: ranked, key: "r:{id}", query: "SELECT id, row_number() OVER (ORDER BY n) AS rank FROM big"}
  - {name: pushed, key: "p:{id}", query: "SELECT id, n FROM big"}
  - {name: denied, key: "d:{id}", query: "SELECT id FROM product"}
  - {name: cold, key: "c:{id}", query: "SELECT id, n FROM big", schedule: "@hourly", ttl: 1h}
`)
	r := stoker(t, vars, "check", "--config", spec)
	for _, want := range []string{
		"warn  ranked    a refresh of one key costs a full query",
		"fail  denied    query of job denied: permission denied for table product (SQLSTATE 42501); grant SELECT " +
			"to Stoker's role",
		"warn  spec ",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	if r.status != 1 || strings.Contains(r.stdout, "warn  pushed") ||
		strings.Contains(r.stdout+r.stderr, "secret-word") {
		t.Errorf("status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

// No output shows a secret, whatever goes wrong.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	vars, spec := newShop(t)
	good := vars["PG"]
	for name, change := range map[string]map[string]string{
		"wrong password": {"PG": regexp.MustCompile(`:[^:@/]+@`).ReplaceAllString(good, ":hush-hush@")},
		"no database":    {"PG": "postgres://me:hush-hush@127.0.0.1:1/x"},
		"no redis":       {"RD": "redis://me:hush-hush@127.0.0.1:1/0"},
		"broken urls":    {"PG": "postgres://me:hush-hush@[::1/x", "RD": "redis://me:hush-hush@127.0.0.1:99999999/0"},
	} {
		vars := map[string]string{"PG": vars["PG"], "RD": vars["RD"]}
		for k, v := range change {
			vars[k] = v
		}
		for _, line := range []string{"check", "warm product --local", "warm product", "invalidate product id=1",
			"status", "preview product", "check --json"} {
			r := stoker(t, vars, append(strings.Fields(line), "--config", spec, "--log-level", "debug")...)
			if strings.Contains(r.stdout+r.stderr, "hush-hush") {
				t.Errorf("%s, %s:\n%s%s", name, line, r.stdout, r.stderr)
			}
		}
	}
}

// With nobody to do it, --wait says so instead of hanging.
func TestWaitWithoutAWorker(t *testing.T) {
	vars, spec := newShop(t)
	for _, line := range []string{"warm product --wait", "invalidate product id=1 --wait"} {
		begin := time.Now()
		r := stoker(t, vars, append(strings.Fields(line), "--config", spec)...)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", line, took)
		}
		if r.status != 1 || !strings.Contains(r.stderr, "no worker is listening on queue stoker-re") &&
			!strings.Contains(r.stderr, "no worker is listening on queue stoker-run: start `stoker run`, or use "+
				"--local") {
			t.Errorf("%s: status %d\n%s%s", line, r.status, r.stdout, r.stderr)
		}
	}
}

func TestStatusBeforeAndAfter(t *testing.T) {
	vars, spec := newShop(t)
	stoker(t, vars, "status", "--config", spec).want(t, 0, `JOB      KEYS  WARMTH  AGE  LAST RUN  NEXT TICK  MISSED  SKIPPED
product  0     -       -    never     -          0       0
stock    0     -       -    never     -          0       0
total    0     -       -    never     -          0       0
broken   0     -       -    never     -          0       0

How often readers find their key is not known: nobody counts yet: a daemon with the role admin does
`, "")
	stoker(t, vars, "warm", "--all", "--local", "--config", spec)
	client(t, vars["RD"]).Del(t.Context(), "total")
	r := stoker(t, vars, "status", "--config", spec)
	for _, want := range []string{`product +300 +100% .* ok in`, `total +1 +0% .* ok in`, `broken +0 +- +- +failed in`,
		`broken: run failed: query of job broken: column "nmae"`} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	var list []map[string]any
	if r := stoker(t, vars, "status", "--json", "--config", spec); json.Unmarshal([]byte(r.stdout), &list) != nil ||
		len(list) != 4 {
		t.Errorf("status --json: %s", r.stdout)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if r := stoker(t, nil, "version"); r.status != 0 || !strings.HasPrefix(r.stdout, "stoker ") {
		t.Errorf("%+v", r)
	}
	root := (&app{env: env{stdout: os.Stdout}}).root()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "version" || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s teaches nothing by example", cmd.Name())
		}
	}
	r := stoker(t, nil, "completion", "bash")
	if r.status != 0 || !strings.Contains(r.stdout, "stoker") {
		t.Errorf("completion: status %d", r.status)
	}
	vars, spec := newShop(t)
	r = stoker(t, vars, "__complete", "--config", spec, "warm", "")
	if lines := strings.Split(r.stdout, "\n"); !slices.Contains(lines, "product\tproduct:{id}") {
		t.Errorf("job names are not completed: %q", lines)
	}
}

// Values that are no JSON are shown so that one can read them, and are told as
// bytes to programs.
func TestPreviewOfOtherFormats(t *testing.T) {
	vars := map[string]string{"PG": storetest.Postgres(t), "RD": storetest.Redis(t)}
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - {name: hash, key: "h:{id}", query: "SELECT 1 AS id, 'a' AS x, NULL AS y", type: hash}
  - {name: text, key: "t:{id}", query: "SELECT 1 AS id, 'say \"x\"' AS x", value: scalar, format: text}
  - {name: packed, key: "p:{id}", query: "SELECT 1 AS id", format: msgpack}
`)
	for job, want := range map[string]string{
		"hash":   `{"id":"1","x":"a"}`,
		"text":   `"say \"x\""`,
		"packed": "81a2696401",
	} {
		if r := stoker(t, vars, "preview", job, "--config", spec); r.status != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: %+v", job, r)
		}
	}
	if r := stoker(t, vars, "preview", "packed", "--json", "--config", spec); !strings.Contains(r.stdout,
		`"value_base64": "gaJpZAE="`) {
		t.Errorf("%+v", r)
	}
}
