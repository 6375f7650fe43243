package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stokerhq/stoker/jobs/specfile"
)

// maxReadmeLines keeps the README a start; what explains lies in docs/.
const maxReadmeLines = 220

const repo = "../.."

// block is a fenced block of a page.
type block struct {
	line int // of its first line
	info string
	text string
}

// page is a Markdown file.
type page struct {
	path    string // relative to the repository
	lines   int
	anchors []string
	links   []string // targets as they are written
	blocks  []block
}

var (
	heading = regexp.MustCompile(`^#+\s+(.*)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`]*`")
)

// parsePage reads Markdown as far as the tests below need it.
func parsePage(path, text string) page {
	p := page{path: path}
	var open *block
	for line := range strings.Lines(text) {
		p.lines++
		line = strings.TrimRight(line, "\n")
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &block{line: p.lines + 1, info: strings.TrimSpace(fence)}
		case isFence:
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		default:
			if m := heading.FindStringSubmatch(line); m != nil {
				p.anchors = append(p.anchors, anchor(m[1]))
			}
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
				p.links = append(p.links, m[1])
			}
		}
	}
	return p
}

// anchor is the name that GitHub gives a heading.
func anchor(text string) string {
	keep := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}
	return strings.Map(keep, text)
}

func pages(t *testing.T) map[string]page {
	t.Helper()
	found := make(map[string]page)
	for _, pattern := range []string{"*.md", "docs/*.md", "readers/*.md", "readers/*/*.md", "deploy/*.md"} {
		files, err := filepath.Glob(filepath.Join(repo, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.ToSlash(strings.TrimPrefix(file, repo+"/"))
			found[path] = parsePage(path, string(text))
		}
	}
	if len(found) < 12 {
		t.Fatalf("%d pages: the test looks in the wrong place", len(found))
	}
	return found
}

// TestDocs holds links, commands and specs of every page to what there is. TestDocsChecksCanFail breaks it.
func TestDocs(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		for _, fault := range slices.Concat(linkFaults(p, all), commandFaults(p), specFaults(t.TempDir(), p)) {
			t.Errorf("%s: %s", p.path, fault)
		}
	}
	if n := all["README.md"].lines; n > maxReadmeLines {
		t.Errorf("README.md has %d lines, at most %d", n, maxReadmeLines)
	}
}

// linkFaults returns the links to files and headings that do not exist.
func linkFaults(p page, all map[string]page) (faults []string) {
	for _, target := range p.links {
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file, name, named := strings.Cut(target, "#")
		to := p.path
		if file != "" {
			to = filepath.ToSlash(filepath.Join(filepath.Dir(p.path), file))
		}
		if _, err := os.Stat(filepath.Join(repo, to)); err != nil {
			faults = append(faults, fmt.Sprintf("link %s: there is no %s", target, to))
			continue
		}
		if named && !slices.Contains(all[to].anchors, name) {
			faults = append(faults, fmt.Sprintf("link %s: %s has no such heading", target, to))
		}
	}
	return faults
}

// commandFaults returns the lines of shell blocks that call stoker as it cannot be called.
func commandFaults(p page) (faults []string) {
	for _, b := range p.blocks {
		if b.info != "sh" && b.info != "console" {
			continue
		}
		n := b.line - 1
		for line := range strings.Lines(b.text) {
			n++
			words, err := shellWords(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
			i := slices.IndexFunc(words, func(w string) bool { return filepath.Base(w) == "stoker" })
			if err == nil && (i < 0 || i > 3) {
				continue
			}
			if err == nil {
				err = parseCommand(words[i+1:])
			}
			if err != nil {
				faults = append(faults, fmt.Sprintf("line %d: %s: %v", n, strings.TrimSpace(line), err))
			}
		}
	}
	return faults
}

// parseCommand reports whether the command line parses: the command, its flags and its number of arguments.
func parseCommand(args []string) error {
	a := &app{env: env{stdout: io.Discard, stderr: io.Discard}}
	cmd, rest, err := a.root().Find(args)
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("stoker %s has no command %s", cmd.Name(), rest[0])
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// shellWords splits a line up to a comment, a pipe or a redirection.
func shellWords(line string) (words []string, err error) {
	var word strings.Builder
	quote, in := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t':
			if in {
				words, in = append(words, word.String()), false
				word.Reset()
			}
		case strings.ContainsRune("#|>&;", r) && !in:
			return words, nil
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// specFaults returns the YAML blocks that are no whole spec and are not marked as a fragment.
func specFaults(dir string, p page) (faults []string) {
	for _, b := range p.blocks {
		if b.info != "yaml" {
			continue
		}
		file := filepath.Join(dir, "stoker.yaml")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			return append(faults, err.Error())
		}
		set := func(name string) (string, bool) {
			if strings.Contains(strings.ToLower(name), "redis") {
				return "redis://127.0.0.1/0", true
			}
			return "postgres://127.0.0.1/shop", true
		}
		if _, err := specfile.Load(file, set); err != nil {
			faults = append(faults, fmt.Sprintf("the spec at line %d: %v", b.line, err))
		}
	}
	return faults
}

// TestDocsChecksCanFail shows that each kind of fault is found.
func TestDocsChecksCanFail(t *testing.T) {
	const fence = "```"
	for what, text := range map[string]string{
		"a link to no file":       "see [this](docs/nothing.md)",
		"a link to no heading":    "# One\nsee [this](#two)",
		"a command there is not":  fence + "sh\nstoker frobnicate\n" + fence,
		"a flag there is not":     fence + "sh\nbin/stoker run --fast\n" + fence,
		"a missing argument":      fence + "sh\n$ stoker invalidate\n" + fence,
		"a subcommand there isnt": fence + "sh\nstoker outbox erase\n" + fence,
		"a quote left open":       fence + "sh\nstoker invalidate stock 'a=b\n" + fence,
		"a spec with a mistake":   fence + "yaml\njobs: [{nam: x}]\n" + fence,
	} {
		p := parsePage("README.md", text)
		all := map[string]page{"README.md": p}
		if n := len(slices.Concat(linkFaults(p, all), commandFaults(p), specFaults(t.TempDir(), p))); n != 1 {
			t.Errorf("%s: %d faults", what, n)
		}
	}
	fine := parsePage("README.md", "# Two words: here\n[a](#two-words-here) `[b](c)` [c](https://x.y)\n"+fence+
		"sh\nPGUSER=x stoker warm --all --local | cat # --fast\n"+fence+"\n"+fence+"yaml fragment\nttl: 1h\n"+fence)
	all := map[string]page{"README.md": fine}
	if f := slices.Concat(linkFaults(fine, all), commandFaults(fine), specFaults(t.TempDir(), fine)); len(f) > 0 {
		t.Errorf("a page that is in order: %q", f)
	}
}
