package specfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs/specfile"
)

// A watch table that can be no table is one problem, at its place.
func TestWatchTableNames(t *testing.T) {
	const head = "postgres: {url: postgres://127.0.0.1/shop}\nredis: {url: redis://127.0.0.1}\n" +
		"changes: {source: outbox}\njobs:\n  - name: a\n    query: SELECT 1 AS id\n    key: \"a:{id}\"\n" +
		"    watch: [{table: %s}]\n"
	for table, good := range map[string]bool{
		"product": true, "shop.product": true, "db.shop.product": true, `'"Product"'`: true,
		`'"Shop"."Line Item"'`: true, `'shop."a.b.c.d"'`: true, `'"say ""hi"""'`: true, "Größe": true, "_x$1": true,
		"my-table": true, `'shop . product'`: true,
		"a.b.c.d": false, "shop.": false, ".product": false, "a..b": false, `'"open'`: false, `'""'`: false,
		`'two words'`: false, `'"a"b'`: false, `'"a"."b"."c"."d"'`: false, "'a\"; DROP TABLE x'": false,
	} {
		file := filepath.Join(t.TempDir(), "stoker.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, head, table), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := specfile.Load(file, func(string) (string, bool) { return "", false })
		if good && err != nil {
			t.Errorf("%s: %v", table, err)
		}
		if !good && (err == nil || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), "stoker.yaml:8:21: table ") ||
			!strings.Contains(err.Error(), "is no name of a table")) {
			t.Errorf("%s: %v", table, err)
		}
	}
}
