package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxQuery is the largest query file, in bytes.
const maxQuery = 1 << 20

// readQuery reads a query from a file in the spec's folder or below. The text is
// taken as it is: ${VAR} means nothing in it, so that psql can run it too.
func (d *decoder) readQuery(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", wrong("is outside of the spec's folder", "put the file beside the spec or below, and name it from there")
	}
	info, err := d.root.Stat(name)
	switch {
	case err != nil:
		return "", unreadable(err)
	case !info.Mode().IsRegular():
		return "", wrong("is not a file", "name a file with one SELECT")
	case info.Size() > maxQuery:
		return "", wrong(fmt.Sprintf("is larger than %d bytes", maxQuery), "name a file with one SELECT")
	}
	data, err := d.root.ReadFile(name)
	if err != nil {
		return "", unreadable(err)
	}
	if !utf8.Valid(data) {
		return "", wrong("is not UTF-8 text", "save it as UTF-8")
	}
	return parseQuery(strings.TrimPrefix(string(data), "\ufeff"))
}

func unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return wrong("does not exist", "it is looked for from the spec's folder")
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path, which the problem already names
	}
	return &mistake{message: "cannot be read", detail: err.Error(), hint: "it must be in the spec's folder or below, also behind symbolic links"}
}
