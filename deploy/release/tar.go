package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
)

// entry is a file of an archive: text, or the contents of a file.
type entry struct {
	name string
	from string // a path; "": text
	text []byte
	dir  bool
	mode int64
	uid  int
}

func (e entry) contents() ([]byte, error) {
	if e.from == "" {
		return e.text, nil
	}
	return os.ReadFile(e.from)
}

// writeTar writes files in the given order, all of the commit's time and owned by root unless they say otherwise.
func (c *config) writeTar(w io.Writer, files []entry) error {
	t := tar.NewWriter(w)
	for _, e := range files {
		h := &tar.Header{Name: e.name, Mode: e.mode, ModTime: c.date, Uid: e.uid, Gid: e.uid, Typeflag: tar.TypeReg,
			Format: tar.FormatUSTAR}
		var b []byte
		if e.dir {
			h.Typeflag = tar.TypeDir
		} else {
			var err error
			if b, err = e.contents(); err != nil {
				return fmt.Errorf("pack %s: %w", e.name, err)
			}
			h.Size = int64(len(b))
		}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("pack %s: %w", e.name, err)
		}
		if _, err := t.Write(b); err != nil {
			return fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	return t.Close()
}

// tarGz is writeTar, compressed.
func (c *config) tarGz(w io.Writer, files []entry) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := c.writeTar(z, files); err != nil {
		return err
	}
	return z.Close()
}

// gzipped compresses a text as packages want it: without name and time.
func gzipped(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
