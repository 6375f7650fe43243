package testserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// keepsTemplates says that KeepTemplates was called.
var keepsTemplates atomic.Bool

// KeepTemplates has each database cluster that this process needs copied from one that is kept in the user's cache
// folder, and made there first where none is: a copy takes a tenth of the time that initdb takes. Each copy gets a
// system identifier of its own, as a cluster of initdb has. Servers of all processes that call it share one password.
// It is for tests; a demo leaves nothing behind.
func KeepTemplates() { keepsTemplates.Store(true) }

// template is a database cluster that was never started, with the password of its superuser, in a folder of ours.
type template struct{ dir string }

// templateFor is the template of an initdb program with its arguments; ok is false if none is to be kept.
func templateFor(initdb string, args []string) (t template, ok bool) {
	if !keepsTemplates.Load() {
		return t, false
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return t, false
	}
	info, err := os.Stat(initdb)
	if err != nil {
		return t, false
	}
	key := fmt.Sprintf("%s %d %d %s", initdb, info.Size(), info.ModTime().UnixNano(), strings.Join(args, " "))
	sum := sha256.Sum256([]byte(key))
	return template{filepath.Join(cache, "stoker-test-clusters", hex.EncodeToString(sum[:8]))}, true
}

func (t template) data() string         { return filepath.Join(t.dir, "data") }
func (t template) passwordFile() string { return filepath.Join(t.dir, "password") }

// keep copies the new cluster in data, unless another process has kept one since.
func (t template) keep(data, password string) error {
	if err := os.MkdirAll(filepath.Dir(t.dir), 0o700); err != nil {
		return fmt.Errorf("keep a database cluster as a template: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(t.dir), "new-")
	if err != nil {
		return fmt.Errorf("keep a database cluster as a template: %w", err)
	}
	defer os.RemoveAll(fresh)
	err = copyFolder(filepath.Join(fresh, "data"), data, &owner{})
	if err == nil {
		err = os.WriteFile(filepath.Join(fresh, "password"), []byte(password), 0o600)
	}
	if err == nil {
		err = os.Rename(fresh, t.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep a database cluster as a template: %w", err)
	}
	return nil
}

// copyTo makes data a copy of the template with an identifier of its own, and returns the superuser's password; ok is
// false if there is no template yet.
func (t template) copyTo(data string, o *owner) (password string, ok bool, err error) {
	b, err := os.ReadFile(t.passwordFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err == nil {
		err = copyFolder(data, t.data(), o)
	}
	if err == nil {
		err = renewIdentifier(data)
	}
	if err != nil {
		return "", false, fmt.Errorf("copy the database cluster in %s (remove it if it is damaged): %w", t.dir, err)
	}
	return string(b), true, nil
}

// copyFolder copies files and folders with their modes, and gives them to the owner.
func copyFolder(to, from string, o *owner) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			err = os.Mkdir(name, info.Mode().Perm())
		} else {
			err = copyFile(name, path, info.Mode().Perm())
		}
		return errors.Join(err, o.give(name))
	})
}

func copyFile(to, from string, mode fs.FileMode) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// renewIdentifier gives a cluster that was never started a new system identifier. It stands at the start of the control
// file, whose checksum follows the fields, at a place that differs by version (src/include/catalog/pg_control.h), and
// in the header of the first page of the write-ahead log, behind 24 bytes (src/include/access/xlog_internal.h).
func renewIdentifier(data string) error {
	control := filepath.Join(data, "global", "pg_control")
	b, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	sums := crc32.MakeTable(crc32.Castagnoli)
	end := 8
	for ; end+4 <= len(b); end += 4 {
		if crc32.Checksum(b[:end], sums) == binary.NativeEndian.Uint32(b[end:]) {
			break
		}
	}
	if end+4 > len(b) {
		return fmt.Errorf("find the checksum in %s: it is of an unknown format", control)
	}
	if _, err := rand.Read(b[:8]); err != nil {
		return err
	}
	b[7] &= 0x7f // SQL shows it as a positive bigint
	binary.NativeEndian.PutUint32(b[end:], crc32.Checksum(b[:end], sums))
	if err := os.WriteFile(control, b, 0o600); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(data, "pg_wal", "0000*"))
	if err != nil || len(segments) != 1 {
		return fmt.Errorf("find the one segment of the log in %s: there are %d: %w", data, len(segments), err)
	}
	log, err := os.OpenFile(segments[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = log.WriteAt(b[:8], 24)
	return errors.Join(err, log.Close())
}
