package schema_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/specfile/field"
	"github.com/stokerhq/stoker/jobs/specfile/schema"
)

var update = flag.Bool("update", false, "write deploy/stoker.schema.json anew")

const deploy = "../../../deploy"

// deploy/stoker.schema.json, beside the example, is what `stoker schema` prints, and draft-07. Broken by: a field that
// is added without -update; a keyword whose value draft-07 does not allow.
func TestSchemaBesideTheExample(t *testing.T) {
	r := newRig(t)
	r.at("#")
	if !bytes.Contains(r.text, []byte(`"$schema": "http://json-schema.org/draft-07/schema#"`)) {
		t.Error("the schema does not say that it is draft-07")
	}
	file := filepath.Join(deploy, schema.File)
	if *update {
		if err := os.WriteFile(file, r.text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(kept), string(r.text)); diff != "" {
		t.Errorf("%s is old (go test ./jobs/specfile/schema -update writes it anew): -kept +printed:\n%s", file, diff)
	}
	example, err := os.ReadFile(filepath.Join(deploy, "stoker.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(example), schema.Modeline+"\n") {
		t.Error("the example does not begin with the modeline")
	}
}

// No editor marks a spec that is right. Broken by: a pattern that is too narrow, a field whose null or number is
// refused.
func TestGoodSpecsValidate(t *testing.T) {
	r := newRig(t)
	specs, err := filepath.Glob(filepath.Join(fixtures, "*.good.yaml"))
	if err != nil || len(specs) < 10 {
		t.Fatalf("%d specs, %v", len(specs), err)
	}
	for _, spec := range append(specs, filepath.Join(deploy, "stoker.example.yaml"),
		filepath.Join(deploy, "compose", "stoker.yaml")) {
		text, err := os.ReadFile(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.validate(string(text)); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// fieldAt is a field and where it stands: jobs.watch.table.
type fieldAt struct {
	path string
	field.Field
}

func allFields(table []field.Field, within string) (list []fieldAt) {
	for _, f := range table {
		path := strings.TrimPrefix(within+"."+f.Name, ".")
		list = append(list, fieldAt{path, f})
		list = append(list, allFields(f.Fields, path)...)
	}
	return list
}

// Each field is told in one plain sentence. Broken by: a field without Doc; two sentences; a sentence that is cut off.
func TestEveryFieldIsDescribed(t *testing.T) {
	all := allFields(specfile.Fields(), "")
	if len(all) < 60 {
		t.Fatalf("%d fields: the test looks in the wrong place", len(all))
	}
	sentence := regexp.MustCompile(`^[A-Z][^\n]*[^.]\.$`)
	for _, f := range all {
		if !sentence.MatchString(f.Doc) || strings.Contains(f.Doc, ". ") {
			t.Errorf("%s: not one sentence: %q", f.path, f.Doc)
		}
		if f.Type.Words == "" || f.Set == nil {
			t.Errorf("%s: no words for its type, or no setter", f.path)
		}
	}
}

// The decoder knows the fields of the schema, and no others: for each mapping, a field of another name is refused by
// both, and each field of the schema is read. Broken by: a field of the decoder that is not of the table; a schema
// that allows other fields.
func TestDecoderAndSchemaKnowTheSameFields(t *testing.T) {
	r := newRig(t)
	for _, f := range append(allFields(specfile.Fields(), ""), fieldAt{path: "colour"}, fieldAt{path: "jobs.colour"},
		fieldAt{path: "jobs.watch.colour"}, fieldAt{path: "defaults.name"}) {
		known := f.Set != nil
		parts := strings.Split(f.path, ".")
		text := "{}"
		for i := len(parts) - 1; i >= 0; i-- {
			if text = "{" + parts[i] + ": " + text + "}"; i > 0 && isList(parts[:i]) {
				text = "[" + text + "]"
			}
		}
		var unknown jobs.Problems
		for _, p := range r.parse(text) {
			if strings.HasPrefix(p.Message, "unknown field") {
				unknown = append(unknown, p)
			}
		}
		if known != (len(unknown) == 0) {
			t.Errorf("decoder, %s: %v", text, unknown)
		}
		err := r.validate(text)
		if refused := err != nil && strings.Contains(err.Error(), "additional properties"); known == refused {
			t.Errorf("schema, %s: %v", text, err)
		}
	}
}

func isList(path []string) bool {
	table := specfile.Fields()
	var f field.Field
	for _, name := range path {
		f, _ = field.Find(table, name)
		table = f.Fields
	}
	return f.Type.Form == field.List
}

// What the schema calls the default is what holds. Broken by: a default that is changed in the decoder or in the
// table alone.
func TestDefaultsOfTheTable(t *testing.T) {
	r := newRig(t)
	const head = "postgres: {url: host=db%s}\nredis: {url: redis://cache%s}\n" +
		"jobs: [{name: a, query: SELECT 1 AS id, key: \"a:{id}\", schedule: '@daily'%s%s}]\n"
	load := func(text string) *jobs.Spec {
		t.Helper()
		if problems := r.parse(text); problems != nil {
			t.Fatalf("%v in\n%s", problems, text)
		}
		spec, err := specfile.Load(filepath.Join(r.dir, "stoker.yaml"), environment)
		if err != nil {
			t.Fatal(err)
		}
		spec.Warnings = nil // they stand elsewhere in the line
		return spec
	}
	fill := func(within map[string]string, rest string) string {
		text := strings.Replace(head, "%s", within["postgres"], 1)
		text = strings.Replace(text, "%s", within["redis"], 1)
		text = strings.Replace(text, "%s", within["jobs"], 1)
		return strings.Replace(text, "%s", within["watch"], 1) + rest
	}
	opaque := []cmp.Option{cmp.Comparer(func(a, b *jobs.KeyTemplate) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b *jobs.Schedule) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b jobs.Secret) bool { return a.Reveal() == b.Reveal() })}
	tried := 0
	for _, f := range allFields(specfile.Fields(), "") {
		if f.Default == "" || f.InWords {
			continue
		}
		tried++
		within, rest, without := map[string]string{}, "", ""
		assignment := f.Name + ": " + f.Default
		switch section, _, _ := strings.Cut(f.path, "."); {
		case strings.HasPrefix(f.path, "jobs.watch."):
			const entry = ", watch: [{table: t, key: {id: id}%s}]"
			within["watch"] = strings.Replace(entry, "%s", ", "+assignment, 1)
			without = strings.Replace(entry, "%s", "", 1)
		case strings.HasPrefix(f.path, "jobs.objective."):
			const entry = ", objective: {age: 60s, ratio: 99%%s}"
			within["watch"] = strings.Replace(entry, "%s", ", "+assignment, 1)
			without = strings.Replace(entry, "%s", "", 1)
		case section == "postgres" || section == "redis" || section == "jobs":
			within[section] = ", " + assignment
		case section == "notify":
			rest = "notify: [{url: \"https://x/y\", " + assignment + "}]\n"
		case section == "changes" && f.Name != "source":
			rest = "changes: {source: wal, " + assignment + "}\n"
		default:
			rest = section + ": {" + assignment + "}\n"
		}
		bare := ""
		switch {
		case strings.HasPrefix(rest, "notify"):
			bare = "notify: [{url: \"https://x/y\"}]\n"
		case strings.HasPrefix(rest, "changes: {source: wal"):
			bare = "changes: {source: wal}\n"
		}
		want, got := load(fill(map[string]string{"watch": without}, bare)), load(fill(within, rest))
		if diff := cmp.Diff(want, got, opaque...); diff != "" {
			t.Errorf("%s is not what holds without it:\n%s", f.path, diff)
		}
	}
	if tried < 25 {
		t.Errorf("%d defaults tried", tried)
	}
}

// docs/spec.md lists the fields of the table, and no others. Broken by: a field that is added without its line there.
func TestSpecPageListsEveryField(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	section := ""
	row := regexp.MustCompile("^\\| (`[^|]*`) \\|")
	for line := range strings.Lines(string(page)) {
		if name, is := strings.CutPrefix(line, "## "); is {
			section = strings.TrimSpace(name)
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if section == "watch" || section == "objective" {
			section = "jobs." + section
		}
		for name := range strings.SplitSeq(m[1], ",") {
			listed[section+"."+strings.Trim(name, "` ")] = true
		}
	}
	for _, f := range allFields(specfile.Fields(), "") {
		section, _, nested := strings.Cut(f.path, ".")
		if !nested || section == "defaults" {
			continue
		}
		if !listed[f.path] {
			t.Errorf("docs/spec.md has no row for %s", f.path)
		}
		delete(listed, f.path)
	}
	for path := range listed {
		section, _, _ := strings.Cut(path, ".")
		if _, is := field.Find(specfile.Fields(), section); is {
			t.Errorf("docs/spec.md has a row for %s, which is no field", path)
		}
	}
}
