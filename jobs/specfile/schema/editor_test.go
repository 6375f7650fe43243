package schema_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/specfile/field"
	"github.com/stokerhq/stoker/jobs/specfile/schema"
)

// editor is a language server and a folder in which a schema lies beside the specs, as docs/spec.md says.
type editor struct {
	*rig
	*languageServer
}

func newEditor(t *testing.T) editor {
	e := editor{newRig(t), startLanguageServer(t)}
	if err := os.WriteFile(filepath.Join(e.dir, schema.File), e.rig.text, 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// shown opens a spec below the modeline and returns what is marked in it, by its own lines.
func (e editor) shown(name, text string) map[int][]string {
	e.Helper()
	marked := map[int][]string{}
	for _, m := range e.open(filepath.Join(e.dir, name), schema.Modeline+"\n"+text) {
		marked[m.Range.Start.Line] = append(marked[m.Range.Start.Line], m.Message)
	}
	return marked
}

// notYAML are fixtures that are no YAML, or more than one document, or not a mapping: there the language server's own
// parser has the word.
var notYAML = regexp.MustCompile(`^(syntax-.*|documents|nothing|yaml)\.bad\.yaml$`)

// Each mistake that a schema can express is marked in the editor on the line that check names, and no line is marked
// that check has nothing to say of. Broken by: a field without its pattern; a rule that refuses the whole job in place
// of the field; a modeline that names another file.
func TestEditorMarksWhatCheckNames(t *testing.T) {
	e := newEditor(t)
	specs, mistakes, beyondIt := 0, 0, 0
	for _, pattern := range []string{filepath.Join(fixtures, "*.bad.yaml"), filepath.Join("testdata", "*.bad.yaml")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if notYAML.MatchString(filepath.Base(file)) {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			specs++
			problems := e.parse(string(text))
			marked := e.shown(filepath.Base(file), string(text))
			for _, p := range problems {
				switch {
				case !expressible(p, string(text)):
					beyondIt++
				case marked[p.Line] == nil:
					t.Errorf("%s:%d: check says %q, the editor nothing", file, p.Line, p.Message)
				default:
					mistakes++
				}
			}
			for line, messages := range marked {
				if !slices.ContainsFunc(problems, func(p jobs.Problem) bool { return p.Line == line }) &&
					!explained(messages, problems) {
					t.Errorf("%s:%d: the editor says %q, check nothing", file, line, messages)
				}
			}
		}
	}
	t.Logf("%d bad specs, %d mistakes on their lines, %d beyond a schema", specs, mistakes, beyondIt)
	if specs < 25 || mistakes < 100 {
		t.Errorf("the test was blind: %d specs, %d mistakes", specs, mistakes)
	}
}

// explained reports whether all that is marked is that a field is missing which is misspelt elsewhere: to check that
// is one mistake, to a schema two.
func explained(messages []string, problems jobs.Problems) bool {
	misspelt := slices.ContainsFunc(problems, func(p jobs.Problem) bool {
		return strings.HasPrefix(p.Message, "unknown field")
	})
	return misspelt && !slices.ContainsFunc(messages, func(m string) bool {
		return !strings.HasPrefix(m, "Missing property")
	})
}

// Without the schema the server marks nothing: what the test above sees comes from it. Broken by: a server that knows
// our fields from elsewhere.
func TestEditorNeedsTheSchema(t *testing.T) {
	e := newEditor(t)
	text, err := os.ReadFile(filepath.Join(fixtures, "units.bad.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if marks := e.open(filepath.Join(e.dir, "bare.yaml"), string(text)); len(marks) > 0 {
		t.Errorf("without the modeline: %v", marks)
	}
}

// The editor marks nothing in a spec that is right, and in the example. Broken by: a description, default or pattern
// that the language server takes for wrong.
func TestEditorLeavesGoodSpecsAlone(t *testing.T) {
	e := newEditor(t)
	files, err := filepath.Glob(filepath.Join(fixtures, "*.good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(deploy, "stoker.example.yaml")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line, messages := range e.shown(filepath.Base(file), string(text)) {
			if messages = slices.DeleteFunc(messages, func(m string) bool {
				return strings.HasPrefix(m, "Unused anchor")
			}); len(messages) > 0 {
				t.Errorf("%s:%d: %q", file, line, messages)
			}
		}
	}
}

// outline is a text with each field once, and where they stand.
type outline struct {
	lines  []string
	places map[string]position
}

func (o *outline) add(table []field.Field, within, indent string) {
	for i, f := range table {
		path := strings.TrimPrefix(within+"."+f.Name, ".")
		prefix := indent
		if strings.HasSuffix(indent, "- ") && i > 0 {
			prefix = strings.TrimSuffix(indent, "- ") + "  "
		}
		o.places[path] = position{Line: len(o.lines), Character: len(prefix) + 1}
		switch below := strings.ReplaceAll(prefix, "-", " ") + "  "; {
		case f.Type.Form == field.Mapping:
			o.lines = append(o.lines, prefix+f.Name+":")
			o.add(f.Fields, path, below)
		case f.Type.Form == field.List && f.Type.Items == nil:
			o.lines = append(o.lines, prefix+f.Name+":")
			o.add(f.Fields, path, below+"- ")
		default:
			o.lines = append(o.lines, prefix+f.Name+": x")
		}
	}
}

// Each field is explained under the pointer: its sentence, how it is written, and its default. Broken by: a
// description that is lost beside a reference; a field that only an "if" describes.
func TestEditorExplainsEveryField(t *testing.T) {
	e := newEditor(t)
	o := outline{lines: []string{schema.Modeline}, places: map[string]position{}}
	o.add(specfile.Fields(), "", "")
	file := filepath.Join(e.dir, "hover.yaml")
	e.open(file, strings.Join(o.lines, "\n")+"\n")
	unescaped := strings.NewReplacer(`\`, "", "&nbsp;", " ", "&lt;", "<", "&gt;", ">", "\n", " ")
	squeezed := func(s string) string { return strings.Join(strings.Fields(unescaped.Replace(s)), " ") }
	for _, f := range allFields(specfile.Fields(), "") {
		shown := e.hover(file, o.places[f.path])
		if !strings.Contains(squeezed(shown), squeezed(schema.Describe(f.Field))) {
			t.Errorf("%s: want %q in\n%s", f.path, schema.Describe(f.Field), shown)
		}
	}
	if t.Failed() {
		fmt.Fprintln(os.Stderr, numbered(strings.Join(o.lines, "\n")))
	}
}
