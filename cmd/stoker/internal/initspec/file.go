package initspec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stokerhq/stoker/jobs/specfile"
)

// Stdout is the name of standard output.
const Stdout = "-"

// Free refuses a file that is there already, or whose folder is not.
func Free(out string) error {
	if out == Stdout {
		return nil
	}
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s is there already and is not overwritten: name another file with --out, or --out - for "+
			"standard output", out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out: %w", err)
	}
	if info, err := os.Stat(filepath.Dir(out)); err != nil || !info.IsDir() {
		return fmt.Errorf("--out is %s: there is no such folder", out)
	}
	return nil
}

// Validate loads a spec as every command will: what is written is right, or it is not written. Variables that are
// not set are given values that parse.
func Validate(text string) (err error) {
	dir, err := os.MkdirTemp("", "stoker-init-")
	if err != nil {
		return fmt.Errorf("try the new spec: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("try the new spec: %w", err)
	}
	_, err = specfile.Load(file, func(name string) (string, bool) {
		if name == "REDIS_URL" {
			return "redis://127.0.0.1", true
		}
		return "postgres://127.0.0.1/database", true
	})
	if err != nil {
		return fmt.Errorf("the spec that was made is not right, and was not written; please report this: %v", err)
	}
	return nil
}

// Create writes a file that must not be there.
func Create(out, text string) error {
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write the spec: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the spec: %w", errors.Join(err, os.Remove(out)))
	}
	return nil
}
