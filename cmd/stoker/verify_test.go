package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/worker/verify"
)

const verifySpec = `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - name: product
    query: SELECT id, name, price, note FROM product
    key: "product:{id}"
  - name: stock
    query: SELECT * FROM stock ORDER BY site, sku
    key: "stock:{site}:{sku}"
    value: rows
`

// Broken by: a wrong key that the command does not show, a status that does not
// tell, a repair that is none.
func TestVerify(t *testing.T) {
	t.Parallel()
	vars, _ := newShop(t)
	spec := specFile(t, verifySpec)
	compare := func(more ...string) result {
		return stoker(t, vars, append([]string{"verify", "--config", spec}, more...)...)
	}
	stoker(t, vars, "warm", "--all", "--local", "--config", spec)
	const head = "JOB      CHECKED  RIGHT  MISSING  STALE  ORPHAN  REPAIRED  MOVING  HELD  UNCLEAR  TOOK\n"
	compare().want(t, 0, head+
		"product  300      300    0        0      0       0         0       0     0        N\n"+
		"stock    3        3      0        0      0       0         0       0     0        N\n", "")
	compare("stock", "--sample", "2").want(t, 0,
		"JOB    CHECKED  RIGHT  MISSING  STALE  ORPHAN  REPAIRED  MOVING  HELD  UNCLEAR  TOOK\n"+
			"stock  2        2      0        0      0       0         0       0     0        N\n"+
			"stock: a sample of the last run's keys: keys that should not be there were not looked for\n", "")

	rd, ctx := client(t, vars["RD"]), context.Background()
	rd.Del(ctx, "product:7")
	rd.Set(ctx, "product:999", "x", time.Hour)
	storetest.Exec(t, vars["PG"], "UPDATE product SET name = 'new' WHERE id = 8",
		"UPDATE stock SET n = 9 WHERE site = 'y'")
	const row = "stock    3        2      0        1      0       0         0       0     0        N\n"
	compare().want(t, 1, head+
		"product  301      298    1        1      1       0         0       0     0        N\n"+row+
		"product: missing: product:7 (expired, evicted or removed)\n"+
		"product: stale: product:8 (changed since the last run)\n"+
		"product: orphan: product:999 (not left by the last complete run)\n"+
		"stock: stale: stock:y:b (changed since the last run)\n", "")

	var list []verify.Verified
	out := compare("product", "--json", "--repair")
	if err := json.Unmarshal([]byte(out.stdout), &list); err != nil || out.status != 0 {
		t.Fatalf("status %d, %v: %s%s", out.status, err, out.stdout, out.stderr)
	}
	if v := list[0]; len(list) != 1 || v.Job != "product" || v.Repaired != 3 || v.Wrong() != 0 ||
		len(v.Findings) != 3 || v.Findings[0].Repaired != true {
		t.Errorf("%+v", list)
	}
	compare("stock", "--repair").want(t, 0, strings.ReplaceAll(head, "JOB      ", "JOB    ")+
		"stock  3        2      0        1      0       1         0       0     0        N\n"+
		"stock: stale, repaired: stock:y:b (changed since the last run)\n", "")
	if out := compare(); out.status != 0 {
		t.Errorf("after the repair: %+v", out)
	}
	if got := rd.Get(ctx, "stock:y:b").Val(); got != `[{"site":"y","sku":"b","n":9}]` {
		t.Errorf("stock:y:b is %s", got)
	}
	if rd.Exists(ctx, "product:999").Val() != 0 {
		t.Error("the orphan is still there")
	}
}

// Broken by: a mistake that is taken for a finding; a failure that is silent.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	vars, spec := newShop(t)
	for line, want := range map[string]string{
		"verify produkt":            `no job "produkt" in stoker.yaml; it has: product, stock, total, broken`,
		"verify product --sample 0": "--sample is 0: give 1 or more",
	} {
		stoker(t, vars, append(strings.Fields(line), "--config", spec)...).want(t, 2, "", "stoker: "+want+"\n")
	}
	out := stoker(t, vars, "verify", "product", "--sample", "5", "--config", spec)
	if out.status != 1 || !strings.Contains(out.stderr, "no complete run is remembered") {
		t.Errorf("a sample of nothing: %+v", out)
	}
	out = stoker(t, vars, "verify", "broken", "total", "--config", spec)
	if out.status != 1 || !strings.Contains(out.stderr, `column "nmae" does not exist`) ||
		!strings.Contains(out.stdout, "total: missing: total (") {
		t.Errorf("a job that is broken, and one that never ran: %+v", out)
	}
}

// Broken by: an end in the middle that does not say how far it came.
func TestVerifyIsStopped(t *testing.T) {
	t.Parallel()
	vars, _ := newShop(t)
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
jobs:
  - name: slow
    query: SELECT id, repeat('x', 500) AS note, CASE WHEN id > 250 THEN pg_sleep(0.2)::text END AS slept FROM product ORDER BY id
    key: "slow:{id}"
  - name: next
    query: SELECT id FROM product
    key: "next:{id}"
`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	status := execute(ctx, []string{"verify", "--config", spec},
		env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, lookup: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		}})
	if status != 1 || !strings.Contains(errs.String(),
		"stoker: slow: stopped after 200 keys were compared; no verdict on what did not look right") ||
		strings.Contains(out.String(), "next") {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
}
