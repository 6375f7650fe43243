package specfile

import (
	"crypto/sha256"
	"os"
	"path/filepath"
)

// Files are the files that a spec was read from: the spec itself, and the query files that it names. What was in them
// is known by its digest, and why one could not be read counts as its content. Content is compared, not names, times
// or inodes: Kubernetes replaces a volume by a symbolic link to another folder, and what watches the files for events
// does not hear of it.
type Files struct {
	spec    string
	content digest
	queries map[string]digest // :: name of a query file
}

type digest [sha256.Size]byte

func digestOf(data []byte, err error) digest {
	if err != nil {
		return sha256.Sum256([]byte("cannot be read: " + err.Error()))
	}
	return sha256.Sum256(data)
}

func newFiles(spec string, data []byte, err error) *Files {
	return &Files{spec: spec, content: digestOf(data, err), queries: make(map[string]digest)}
}

func (f *Files) note(name string, data []byte, err error) { f.queries[name] = digestOf(data, err) }

// Changed reports whether a file has another content now than when the spec was read.
func (f *Files) Changed() bool {
	if digestOf(readSpec(f.spec)) != f.content {
		return true
	}
	if len(f.queries) == 0 {
		return false
	}
	root, err := os.OpenRoot(filepath.Dir(f.spec))
	if err != nil {
		return true
	}
	defer root.Close()
	for name, was := range f.queries {
		if digestOf(readQueryFile(root, name)) != was {
			return true
		}
	}
	return false
}
