package schema_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

var every = flag.Int("every", 9, "try every n-th value of each field")

const (
	randomSpecs = 200
	mutations   = 400
)

// agree fails unless parser and schema say the same of a spec: what the parser takes the schema takes, and what the
// schema takes the parser takes or refuses for a reason that no schema can express. It reports whether the parser took
// it.
func (r *rig) agree(text string) bool {
	r.Helper()
	problems, err := r.parse(text), r.validate(text)
	if problems == nil && err != nil {
		r.Errorf("the parser takes what the schema refuses: %v in\n%s", err, numbered(text))
	}
	for _, p := range problems {
		if err == nil && expressible(p, text) {
			r.Errorf("the schema takes what the parser refuses: %v in\n%s", p, numbered(text))
		}
	}
	return problems == nil
}

// junk is what is put in place of values.
var junk = []string{`""`, `" "`, `0`, `"0"`, `5`, `-1`, `+5`, `08`, `1.5`, `1e3`, `0x10`, `0o7`, `.inf`, `true`, `True`,
	`"true"`, `no`, `null`, `~`, ``, `"null"`, `5m`, `0s`, `1d0`, `-1s`, `1.5h30m`, `.5s`, `1us`, `10%`, `100.0%`, `101%`,
	`0.5 %`, `"0%"`, `-0%`, `0x1p3%`, `64KiB`, `64 kib`, `16M`, `0B`, `50/s`, `50 / m`, `none`, `None`, `Local`, `UTC`, `a`,
	`a-b`, `a_b`, `"a b"`, `"a\tb"`, `"a\nb"`, `" a"`, `"\u00a0a"`, `Ä`, `"#a"`, `"stoker:a"`, `"a:{id}"`, `"{"`, `"{}"`,
	`"{{id}}"`, `"*/5 * * * *"`, `"0 24 * * *"`, `"@EVERY 5m"`, `"@daily x"`, `"TZ=UTC 0 0 * * mon-FRI"`, `"* * * * 7"`,
	`:80`, `localhost:99999`, `"[::1]:80"`, `"[0:0::1]:80"`, `127.1.2.3:80`, `X.LOCALHOST:1`, `0.0.0.0:80`, `/a/`, `/`,
	`//`, `/api`, `/a/..`, `https://x/y`, `HTTP://x`, `http://`, `redis://x`, `rediss://:p@x:1/2`, `Redis://x`, `unix:///x`,
	`postgres://x`, `POSTGRES://x`, `"host = x"`, `host=x`, `mysql://x`, `jdbc:postgresql://x/y?a=b`, `"\uFEFFredis://x "`,
	`${NAME}`, `${UNSET}`, `${UNSET:-}`, `${UNSET:-5m}`, `"$${x}"`, `"${"`, `"${a b}"`, `$1`, `"SELECT 1;"`, `";"`, `"-- x"`,
	`SELECT id FROM t WHERE id = ANY($1)`, `shop.t`, `'"T x".y'`, `a.b.c.d`, `queries/top.sql`, `../x.sql`, `whsec_YQ==`,
	`whsec_*`, `"0123456789abcdef"`, `[]`, `[a]`, `["", a]`, `{}`, `{id: id}`, `{id: }`, `[{}]`, `[null]`,
	`[{table: t}]`, `[{table: t, key: {id: id}}]`, `[run_failed, cold]`, `2001-01-01`, `1_000`, `row`, `rows`, `scalar`,
	`text`, `hash`, `zset`, `gzip`, `wal`, `outbox`, `permanent`, `json`, `read-write`, `always`, `slack`,
}

// sound is a spec in which each section can be changed alone.
const sound = `
postgres: {url: host=db}
redis: {url: "redis://cache"}
admin: {}
changes: {source: wal}
audit: {}
notify: [{url: "https://x/y"}]
defaults: {}
jobs: [{name: a, query: SELECT 1 AS id, key: "a:{id}", value: row, type: string, format: json, compress: gzip,
  watch: [{table: t, key: {id: id}}]}]
`

// Of each field, each kind of value is taken by both or refused by both (-every 1 tries them all). Broken by: a
// pattern without its end, or narrower than the parser where the parser is not held to it; a null, a number or an empty
// list that one of them refuses; a rule between two fields that only one of them has.
func TestParserAndSchemaTakeTheSameValues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	taken, tried := 0, 0
	for i, f := range allFields(specfile.Fields(), "") {
		for n, value := range junk {
			if (i+n)%*every != 0 {
				continue
			}
			var document yaml.Node
			if err := yaml.Unmarshal([]byte(sound), &document); err != nil {
				t.Fatal(err)
			}
			put(&document, strings.Split(f.path, "."), value)
			text, err := yaml.Marshal(&document)
			if err != nil {
				t.Fatal(err)
			}
			if tried++; r.agree(string(text)) {
				taken++
			}
			if t.Failed() {
				t.Fatalf("%s: %s", f.path, value)
			}
		}
	}
	t.Logf("%d values, %d of them right", tried, taken)
	if taken < tried/20 {
		t.Errorf("the test was blind: %d of %d values were right", taken, tried)
	}
}

// put sets a field, and takes away what may not stand beside it.
func put(document *yaml.Node, path []string, value string) {
	n := document.Content[0]
	for _, name := range path[:len(path)-1] {
		switch n = entry(n, name); n.Kind {
		case yaml.SequenceNode:
			n = n.Content[0]
		case 0:
			n.Kind = yaml.MappingNode
		}
	}
	switch name := path[len(path)-1]; name {
	case "query_file", "url_file":
		drop(n, strings.TrimSuffix(name, "_file"))
	case "column":
		drop(n, "key")
		*entry(n, "keys") = *scalar("SELECT $1")
	case "keys":
		drop(n, "key")
		*entry(n, "column") = *scalar("c")
	}
	*entry(n, path[len(path)-1]) = *fragment(value)
}

func scalar(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// entry is the value of a field of a mapping, which is added if it is not there.
func entry(m *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i+1]
		}
	}
	m.Content = append(m.Content, scalar(name), new(yaml.Node))
	return m.Content[len(m.Content)-1]
}

func drop(m *yaml.Node, name string) {
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			m.Content = append(m.Content[:i:i], m.Content[i+2:]...)
			return
		}
	}
}

// A random spec that the schema takes the parser takes too. Broken by: a pattern of more characters than the parser
// wants; a field that the parser demands and the table does not.
func TestParserTakesWhatTheSchemaMakes(t *testing.T) {
	t.Parallel()
	w := &writer{rig: newRig(t), Rand: rand.New(rand.NewPCG(11, 3))}
	if err := json.Unmarshal(w.rig.text, &w.root); err != nil {
		t.Fatal(err)
	}
	specs, right := 0, 0
	for range randomSpecs {
		spec := w.spec()
		if spec == nil {
			continue
		}
		text, err := yaml.Marshal(spec)
		if err != nil || yaml.Unmarshal(text, new(yaml.Node)) != nil {
			continue // it does not write every text as it can read it
		}
		if specs++; w.agree(string(text)) {
			right++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d specs, %d of them without a problem", specs, right)
	if specs < randomSpecs/4 || right < randomSpecs/30 {
		t.Errorf("the test was blind: %d specs, %d right", specs, right)
	}
}

// Good specs, changed in a place or two, are taken by both or refused by both. Broken by: a rule of the schema that the
// parser does not have; an alias that is not followed.
func TestParserAndSchemaAgreeOnChangedSpecs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rng := rand.New(rand.NewPCG(11, 3))
	files, err := filepath.Glob(filepath.Join(fixtures, "*.good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for n := range mutations {
		text, err := os.ReadFile(files[n%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(2) {
			mutate(rng, &document)
		}
		changed, err := yaml.Marshal(&document)
		if err != nil || yaml.Unmarshal(changed, new(yaml.Node)) != nil {
			continue // an alias without its anchor
		}
		if r.agree(string(changed)) {
			taken++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d changed specs are right", taken, mutations)
	if taken < mutations/20 {
		t.Errorf("the test was blind: %d of %d specs are right", taken, mutations)
	}
}

// mutate changes one place of a document: a value becomes junk, or a field is added, or one goes.
func mutate(rng *rand.Rand, document *yaml.Node) {
	var places, mappings []*yaml.Node
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		switch n.Kind {
		case yaml.DocumentNode:
			walk(n.Content[0])
		case yaml.MappingNode:
			mappings = append(mappings, n)
			for i := 1; i < len(n.Content); i += 2 {
				places = append(places, n.Content[i])
				walk(n.Content[i])
			}
		case yaml.SequenceNode:
			for _, item := range n.Content {
				places = append(places, item)
				walk(item)
			}
		}
	}
	walk(document)
	if rng.IntN(3) > 0 {
		*places[rng.IntN(len(places))] = *fragment(junk[rng.IntN(len(junk))])
		return
	}
	m := mappings[rng.IntN(len(mappings))]
	if i := 2 * rng.IntN(len(m.Content)/2+1); i < len(m.Content) && rng.IntN(3) == 0 {
		m.Content = append(m.Content[:i:i], m.Content[i+2:]...)
		return
	}
	names := fieldsOf(rng, m)
	*entry(m, names[rng.IntN(len(names))]) = *fragment(junk[rng.IntN(len(junk))])
}

// fieldsOf are the names of the fields that a mapping may have, by those that it has.
func fieldsOf(rng *rand.Rand, m *yaml.Node) []string {
	tables := [][]string{field.Names(specfile.Fields())}
	for _, f := range allFields(specfile.Fields(), "") {
		if len(f.Fields) > 0 {
			tables = append(tables, field.Names(f.Fields))
		}
	}
	fit := slices.DeleteFunc(tables, func(names []string) bool {
		for i := 0; i < len(m.Content); i += 2 {
			if !slices.Contains(names, m.Content[i].Value) {
				return true
			}
		}
		return false
	})
	if len(fit) == 0 {
		return []string{"id"}
	}
	return fit[rng.IntN(len(fit))]
}

func fragment(text string) *yaml.Node {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		panic(text + " is no YAML: " + err.Error())
	}
	if len(document.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return document.Content[0]
}
