package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// checksums writes checksums.txt, which `sha256sum -c` reads.
func (c *config) checksums() error {
	files, err := os.ReadDir(c.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files { // in the order of their names
		text, err := os.ReadFile(filepath.Join(c.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), f.Name())
	}
	return os.WriteFile(filepath.Join(c.out, "checksums.txt"), []byte(b.String()), 0o644)
}
