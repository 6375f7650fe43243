package specfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// maxSpec is the largest spec file, in bytes. What is larger is another file.
const maxSpec = 4 << 20

// Drivers have the last word on the URLs of a spec: what connects is what reads
// them. A nil one accepts all. An error is shown: it may not hold the URL.
type Drivers struct {
	Postgres func(jobs.Secret) error
	Redis    func(jobs.Secret) error
}

// Load reads and validates the spec file, and the query files that it names.
// lookup is os.LookupEnv. When the file can be read but has mistakes, the error
// is Problems: all of them, in the order of the file.
func Load(file string, lookup func(string) (string, bool)) (*jobs.Spec, error) {
	return LoadWith(file, lookup, Drivers{})
}

// LoadWith is Load that also has the drivers read the URLs.
func LoadWith(file string, lookup func(string) (string, bool), drivers Drivers) (*jobs.Spec, error) {
	spec, _, err := LoadFiles(file, lookup, drivers)
	return spec, err
}

// LoadFiles is LoadWith that also returns which files were read, whatever became of them.
func LoadFiles(file string, lookup func(string) (string, bool), drivers Drivers) (*jobs.Spec, *Files, error) {
	data, err := readSpec(file)
	files := newFiles(file, data, err)
	if err != nil {
		return nil, files, err
	}
	spec, err := files.load(data, lookup, drivers)
	return spec, files, err
}

// load makes a spec of what is in the spec file.
func (f *Files) load(data []byte, lookup func(string) (string, bool), drivers Drivers) (*jobs.Spec, error) {
	file := f.spec
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("open the folder of the spec, for its query files: %w", err)
	}
	defer root.Close()

	document, problems := parseYAML(file, data)
	if problems != nil {
		return nil, problems
	}
	d := &decoder{file: file, lookup: lookup, root: root, drivers: drivers, files: f,
		keys: map[*yaml.Node]*yaml.Node{}}
	spec := d.spec(document)
	if len(d.problems) > 0 {
		return nil, d.problems.InOrder()
	}
	return spec, nil
}

func readSpec(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no spec file %s: write one (deploy/stoker.example.yaml explains every field) or "+
			"name yours with --config: %w", file, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read the spec: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("the spec %s is a folder: name the file in it", file)
	case info.Size() > maxSpec:
		return nil, fmt.Errorf("the spec %s has %d bytes, more than a spec can have (%d): name the right file with "+
			"--config", file, info.Size(), maxSpec)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	return data, nil
}

// maxQuery is the largest query file, in bytes.
const maxQuery = 1 << 20

// readQuery reads a query from a file in the spec's folder or below. The text is
// taken as it is: ${VAR} means nothing in it, so that psql can run it too.
func (d *decoder) readQuery(name string) (string, error) {
	data, err := readQueryFile(d.root, name)
	d.files.note(name, data, err)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(data) {
		return "", wrong("is not UTF-8 text", "save it as UTF-8")
	}
	return parseQuery(strings.TrimPrefix(string(data), "\ufeff"))
}

func readQueryFile(root *os.Root, name string) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, wrong("is outside of the spec's folder",
			"put the file beside the spec or below, and name it from there")
	}
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, unreadable(err)
	case !info.Mode().IsRegular():
		return nil, wrong("is not a file", "name a file with one SELECT")
	case info.Size() > maxQuery:
		return nil, wrong(fmt.Sprintf("is larger than %d bytes", maxQuery), "name a file with one SELECT")
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}

func unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return wrong("does not exist", "it is looked for from the spec's folder")
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path, which the problem already names
	}
	return &jobs.Mistake{Message: "cannot be read", Detail: err.Error(),
		Hint: "it must be in the spec's folder or below, also behind symbolic links"}
}
