package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The limits of the house: docs/development.md tells why.
const (
	maxFileLines    = 450
	maxPackageLines = 2600
	maxColumns      = 120
	tabColumns      = 4
)

// isTool reports whether a package measures or tests the product, and is no part of it.
func isTool(name string) bool {
	for _, prefix := range []string{"cmd/bench", "cmd/soak", "store/testserver", "store/storetest",
		"store/feed/feedtest"} {
		if name == prefix || strings.HasPrefix(name, prefix+"/") {
			return true
		}
	}
	return false
}

// TestHouse holds every file and package to the limits. Broken by: TestHouseLimitsCanFail.
func TestHouse(t *testing.T) {
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		sources := make(map[string][]byte)
		for _, file := range files {
			if sources[filepath.Base(file)], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		for _, fault := range houseFaults(p.name(), sources) {
			t.Errorf("%s: %s", p.name(), fault)
		}
	}
}

// houseFaults returns what is wrong with a package, given its files by name.
func houseFaults(name string, sources map[string][]byte) (faults []string) {
	lines, comments := 0, 0
	for file, src := range sources {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		faults = append(faults, wideLines(file, src, parsed)...)
		for _, name := range badNames(parsed) {
			faults = append(faults, file+": "+name)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		n := bytes.Count(src, []byte("\n"))
		lines += n
		if parsed.Doc != nil {
			comments++
		}
		if n > maxFileLines {
			faults = append(faults, fmt.Sprintf("%s has %d lines, at most %d", file, n, maxFileLines))
		}
	}
	if lines > maxPackageLines && !isTool(name) {
		faults = append(faults, fmt.Sprintf("%d lines without tests, at most %d", lines, maxPackageLines))
	}
	if comments != 1 && lines > 0 {
		faults = append(faults, fmt.Sprintf("%d files have a package comment, want 1", comments))
	}
	return faults
}

// wideLines returns the lines of a file that are too wide. Text between back quotes is exempt: a break
// in it would change it.
func wideLines(file string, src []byte, parsed *ast.File) (faults []string) {
	raw := make(map[int]bool)
	base := parsed.FileStart
	lineOf := func(p token.Pos) int { return bytes.Count(src[:p-base], []byte("\n")) + 1 }
	ast.Inspect(parsed, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && lit.Value[0] == '`' {
			for i := lineOf(lit.Pos()); i <= lineOf(lit.End()); i++ {
				raw[i] = true
			}
		}
		return true
	})
	n := 0
	for line := range strings.SplitSeq(string(src), "\n") {
		n++
		wide := utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
		if wide > maxColumns && !raw[n] {
			faults = append(faults, fmt.Sprintf("%s:%d has %d columns, at most %d", file, n, wide, maxColumns))
		}
	}
	return faults
}

// TestHouseLimitsCanFail shows that each limit is looked at.
func TestHouseLimitsCanFail(t *testing.T) {
	const head = "// Package p is one.\npackage p\n"
	for what, sources := range map[string]map[string][]byte{
		"a long file":          {"a.go": []byte(head + strings.Repeat("\n", maxFileLines))},
		"a wide line":          {"a.go": []byte(head + "//" + strings.Repeat(" x", 60))},
		"a wide line of tabs":  {"a.go": []byte(head + "var _ = " + strings.Repeat("\t", 29) + "1\n")},
		"no package comment":   {"a.go": []byte("package p\n")},
		"two package comments": {"a.go": []byte(head), "b.go": []byte(head)},
		"a shadowed built-in":  {"a.go": []byte(head + "func f(new int) {}\n")},
		"a shadowed package":   {"a.go": []byte(head + "import \"time\"\nfunc f() { time := 1; _ = time }\n")},
		"a vague verb":         {"a.go": []byte(head + "type t int\nfunc (t) settle() {}\n")},
		"a vague closure":      {"a.go": []byte(head + "func f() { look := func() {}; look() }\n")},
		"a file that is no Go": {"a.go": []byte("packge p\n")},
	} {
		if faults := houseFaults("p", sources); len(faults) != 1 {
			t.Errorf("%s: %q", what, faults)
		}
	}
	large := make(map[string][]byte)
	for i := range maxPackageLines / 400 {
		large[fmt.Sprintf("f%d.go", i)] = []byte("package p\n" + strings.Repeat("\n", 440))
	}
	large["doc.go"] = []byte(head)
	if faults := houseFaults("p", large); len(faults) != 1 {
		t.Errorf("a large package: %q", faults)
	}
	if faults := houseFaults("cmd/bench", large); len(faults) != 0 {
		t.Errorf("a tool: %q", faults)
	}
	fine := map[string][]byte{"a.go": []byte(head + "var _ = `" + strings.Repeat("x", 200) + "`\n")}
	if faults := houseFaults("p", fine); len(faults) != 0 {
		t.Errorf("a package that is in order: %q", faults)
	}
}
