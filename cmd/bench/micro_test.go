package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A branch is compared with main, changes with what they change, and main itself
// with the commit before.
func TestBase(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed; micro compares nothing then")
	}
	root := t.TempDir()
	b := &bench{dir: t.TempDir()}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	git := func(args ...string) string {
		t.Helper()
		out, err := b.command(t.Context(), root, "git",
			append([]string{"-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	commit := func(text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", "file")
		git("commit", "-q", "-m", text)
		return git("rev-parse", "--short", "HEAD")
	}
	want := func(base, named, tree string) {
		t.Helper()
		got, what, err := b.base(t.Context(), root)
		if err != nil || got != base || !strings.Contains(what.Base, named) || !strings.Contains(what.Tree, tree) {
			t.Errorf("base %s, %+v, %v; want %s, %s, %s", got, what, err, base, named, tree)
		}
	}
	git("init", "-q", "-b", "main")
	first := commit("one")
	main := commit("two")
	want(first, "nothing differs from main", "HEAD ("+main+")")
	if err := os.WriteFile(filepath.Join(root, "file"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(main, "HEAD ("+main+")", "uncommitted changes")
	git("checkout", "-q", "-b", "branch")
	branch := commit("three")
	want(main, "main ("+main+")", "HEAD ("+branch+")")
}
