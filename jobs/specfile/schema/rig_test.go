package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/specfile/schema"
)

const fixtures = "../testdata"

// environment is that of the fixtures of specfile, and of what is made here.
func environment(name string) (string, bool) {
	value, set := map[string]string{
		"DATABASE_URL": "postgres://app:hunter2@db/shop", "REDIS_URL": "redis://:hunter2@cache:6379/0",
		"SECRET": "hunter2", "TOKEN": "hunter2", "NAME": "shop", "EMPTY": "", "INJECTION": "a\nadmin: {token: none}",
	}[name]
	return value, set
}

// rig is the schema, compiled, and the parser beside it.
type rig struct {
	*testing.T
	dir      string
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // :: place in the schema
	text     []byte
}

func newRig(t *testing.T) *rig {
	t.Helper()
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, dir: t.TempDir(), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{},
		text: text}
	if err := r.compiler.AddResource("stoker.schema.json", document); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.absolute(filepath.Join(fixtures, "queries")), filepath.Join(r.dir, "queries")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) absolute(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		r.Fatal(err)
	}
	return path
}

// at is the part of the schema at a place, as #/properties/jobs; # is all of it. It is checked against draft-07 itself.
func (r *rig) at(place string) *jsonschema.Schema {
	if s := r.compiled[place]; s != nil {
		return s
	}
	s, err := r.compiler.Compile("stoker.schema.json" + place)
	if err != nil {
		r.Fatal(err)
	}
	r.compiled[place] = s
	return s
}

// parse returns what check would say of a spec.
func (r *rig) parse(text string) jobs.Problems {
	file := filepath.Join(r.dir, "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
	_, err := specfile.Load(file, environment)
	problems, located := errors.AsType[jobs.Problems](err)
	if err != nil && !located {
		r.Fatal(err)
	}
	return problems
}

// validate returns what the schema says of a spec.
func (r *rig) validate(text string) error {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		r.Fatalf("%v in\n%s", err, text)
	}
	return r.at("#").Validate(asJSON(document.Content[0]))
}

// The scalars of YAML 1.2, as editors read them.
var (
	yamlNull  = regexp.MustCompile(`^(~|null|Null|NULL|)$`)
	yamlBool  = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	yamlInt   = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	yamlFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	yamlOdd   = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// asJSON is a YAML tree as an editor takes it. The yaml package's own reading of scalars is that of YAML 1.1 in part.
func asJSON(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return asJSON(n.Alias)
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, asJSON(item))
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = asJSON(n.Content[i+1])
		}
		return m
	}
	switch v := n.Value; {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return v
	case yamlNull.MatchString(v):
		return nil
	case yamlBool.MatchString(v):
		return strings.EqualFold(v, "true")
	case yamlInt.MatchString(v):
		number, err := strconv.ParseInt(v, 10, 64)
		if err != nil { // 0x10, 0o7
			number, _ = strconv.ParseInt(v, 0, 64)
		}
		return float64(number)
	case yamlFloat.MatchString(v):
		number, _ := strconv.ParseFloat(v, 64)
		return number
	case yamlOdd.MatchString(v):
		return math.MaxFloat64 // JSON has none of these
	}
	return n.Value
}

// beyond is what a schema cannot express, and why.
var beyond = []struct {
	says *regexp.Regexp
	why  string
}{
	{re(`is there twice|two jobs have the same key|is twice in (unwatched|omit)|is watched and unwatched`), "items of a list"},
	{re(`the job's key has no column|does not say where the job's key column|key of a watch entry is empty`),
		"the columns of two texts"},
	{re(`needs the environment variable|once the environment is put in|^[a-z_]+ ".*\$\{[A-Za-z_].*" `), "the environment"},
	{re(`does not exist|cannot be read|is not a file|is not UTF-8`), "the file system"},
	{re(`^(\w*(url|password|token|secret)|ca|cert|key)_file "[^"]*" (is|has|holds|may|does) `), "the file system"},
	{re(`(tls|_file) is given, and|has a (cert|key)_file and no|sentinel_tls is off, and|has this password, and|` +
		`the URL has a password|^(postgres|redis|changes) has both `), "what goes with a URL"},
	{re(`is not a known time zone|in an unknown time zone|in the time zone Local`), "the zones of the world"},
	{re(`never fires|ends before it begins|step longer than|has a \? beside|in whole seconds|gives @every a time zone`),
		"what a schedule means"},
	{re(`is longer than a run may take|is shorter than 1ms|is too long|is too large|is outside 0 to 10000/s|[nuµμ]s[^"]*" is not above zero`),
		"sums of units"},
	{re(`is outside -?[0-9]+ to`), "a number in quotes"},
	{re(`^(url|queue_url) (is|has|begins|cannot) `), "the parts of a URL"},
	{re(`is not base64 after whsec_`), "base64"},
	{re(`^query .*is empty|does not use \$1`), "comments of SQL"},
	{re(`"[^"]*\\u[0-9a-f]{4}`), "blanks that are not of ASCII"},
	{re(`^[a-z_]+ "([-+]?\.inf|0x[0-9a-f]+|0o[0-7]+|[0-9.]+e[0-9]+|\+[0-9]+|True)" is `), "what YAML makes a number of"},
	{re(`merge keys|YAML tags|holds an alias itself|must be plain text`), "what YAML makes of it before the schema"},
}

var re = regexp.MustCompile

// fromOutside matches a value with a variable in it.
var fromOutside = re(`^["']?[^"',]*\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`)

// decided are what is said of one field because of another, which may come from the environment.
var decided = []struct{ says, by *regexp.Regexp }{
	{re(`^admin can be reached`), re(`(token|listen): *["']?\$\{`)},
	{re(`is for source: wal`), re(`source: *["']?\$\{`)},
	{re(`is for value: `), re(`value: *["']?\$\{`)},
	{re(`^type (hash|zset) (has no format|cannot be compressed)`), re(`type: *["']?\$\{`)},
	{re(`^format fastapi-redis cannot be compressed`), re(`format: *["']?\$\{`)},
}

// expressible reports whether a schema can find a problem of a spec.
func expressible(p jobs.Problem, text string) bool {
	for _, b := range beyond {
		if b.says.MatchString(p.Message) {
			return false
		}
	}
	if line := strings.Split(text, "\n")[p.Line-1]; fromOutside.MatchString(line[min(p.Col-1, len(line)):]) {
		return false
	}
	for _, d := range decided {
		if d.says.MatchString(p.Message) && d.by.MatchString(text) {
			return false
		}
	}
	return true
}

func numbered(text string) string {
	var b strings.Builder
	line := 0
	for s := range strings.Lines(text) {
		line++
		fmt.Fprintf(&b, "%3d %s", line, s)
	}
	return b.String()
}
