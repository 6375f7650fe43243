package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// chart packs the Helm chart under the version of the release.
func (c *config) chart(context.Context, string) error {
	root := filepath.Join(c.source, "deploy", "helm", "stoker")
	var files []entry
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e := entry{name: "stoker/" + filepath.ToSlash(rel), from: path, mode: 0o644}
		if rel == "Chart.yaml" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			stamped := strings.NewReplacer("version: 0.0.0", "version: "+c.version,
				"appVersion: \"0.0.0\"", "appVersion: \""+c.version+"\"").Replace(string(text))
			if strings.Count(stamped, c.version) < 2 {
				return fmt.Errorf("%s has no version 0.0.0 to replace", path)
			}
			e.from, e.text = "", []byte(stamped)
		}
		files = append(files, e)
		return nil
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := c.tarGz(&b, files); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.out, "stoker-"+c.version+".tgz"), b.Bytes(), 0o644)
}
