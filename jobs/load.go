package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSpec is the largest spec file, in bytes. What is larger is another file.
const maxSpec = 4 << 20

// Load reads and validates the spec file, and the query files that it names.
// lookup is os.LookupEnv. When the file can be read but has mistakes, the error
// is Problems: all of them, in the order of the file.
func Load(file string, lookup func(string) (string, bool)) (*Spec, error) {
	data, err := readSpec(file)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("open the folder of the spec, for its query files: %w", err)
	}
	defer root.Close()

	document, problems := parseYAML(file, data)
	if problems != nil {
		return nil, problems
	}
	d := &decoder{file: file, lookup: lookup, root: root}
	spec := d.spec(document)
	if len(d.problems) > 0 {
		return nil, d.problems.inOrder()
	}
	return spec, nil
}

func readSpec(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no spec file %s: write one (deploy/stoker.example.yaml explains every field) or name yours with --config: %w", file, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read the spec: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("the spec %s is a folder: name the file in it", file)
	case info.Size() > maxSpec:
		return nil, fmt.Errorf("the spec %s has %d bytes, more than a spec can have (%d): name the right file with --config", file, info.Size(), maxSpec)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	return data, nil
}
