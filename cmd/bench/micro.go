package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// microPackages are where the hot code is.
var microPackages = []string{"store/encode", "store/cache", "worker"}

// The micro-benchmarks of the two trees take turns, so that what changes on the
// machine meanwhile meets both: so many turns of so many short measurements.
const (
	microTurns = 3
	microCount = 2
	microTime  = "50ms"
	microSkip  = "^BenchmarkValue$" // every column type by itself: many, and in Row all together
)

// tree is one version of the code, with its test binaries.
type tree struct {
	name string // for benchstat: base, tree
	root string
	bin  string // folder
	out  string // file of what was measured
}

// micro compares the Go benchmarks of this working tree with those of another
// commit, checked out beside it for as long as that takes.
func (b *bench) micro(ctx context.Context) (err error) {
	root, err := b.command(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		b.say("micro: not compared, this is no git repository")
		return nil
	}
	base, what, err := b.base(ctx, root)
	if err != nil {
		return err
	}
	b.say("micro: this tree against %s", what.Base)
	checkout := filepath.Join(b.dir, "base")
	if _, err := b.command(ctx, root, "git", "worktree", "add", "--detach", checkout, base); err != nil {
		return err
	}
	defer func() {
		// It must go also when ctx has ended.
		_, rerr := b.command(context.WithoutCancel(ctx), root, "git", "worktree", "remove", "--force", checkout)
		err = errors.Join(err, left(rerr))
	}()
	trees := []tree{b.tree("base", checkout), b.tree("tree", root)}
	for _, t := range trees {
		if err := b.buildTests(ctx, t); err != nil {
			return err
		}
	}
	for turn := range microTurns {
		for _, t := range trees {
			b.say("micro: %s, turn %d of %d", t.name, turn+1, microTurns)
			if err := b.benchmark(ctx, t); err != nil {
				return err
			}
		}
	}
	what.Benchstat, err = b.command(ctx, root, b.goTool, "tool", "benchstat", "-filter",
		".unit:(sec/op OR B/op OR allocs/op)", "base="+trees[0].out, "tree="+trees[1].out)
	b.report.Micro = &what
	return err
}

// base chooses what to compare with: main, unless this is main itself.
func (b *bench) base(ctx context.Context, root string) (commit string, what report.Micro, err error) {
	git := func(args ...string) string {
		out, gerr := b.command(ctx, root, "git", args...)
		err = errors.Join(err, gerr)
		return out
	}
	head := git("rev-parse", "--short", "HEAD")
	changed := git("status", "--porcelain")
	if err != nil {
		return "", what, err
	}
	what.Tree = "HEAD (" + head + ")"
	if changed != "" {
		what.Tree += " with uncommitted changes"
	}
	commit, merr := b.command(ctx, root, "git", "rev-parse", "--short", "--verify", "main")
	switch {
	case merr == nil && commit != head:
		what.Base = "main (" + commit + ")"
	case changed != "":
		commit, what.Base = head, "HEAD ("+head+")"
	default:
		commit = git("rev-parse", "--short", "HEAD~1")
		what.Base = "the commit before (" + commit + "), because nothing differs from main"
	}
	return commit, what, err
}

func (b *bench) tree(name, root string) tree {
	return tree{name: name, root: root, bin: filepath.Join(b.dir, name+"-tests"),
		out: filepath.Join(b.dir, name+".txt")}
}

// buildTests builds the test binaries once: building them for each turn would
// take longer than measuring.
func (b *bench) buildTests(ctx context.Context, t tree) error {
	args := []string{"test", "-c", "-trimpath", "-o", t.bin + string(filepath.Separator)}
	for _, pkg := range microPackages {
		if _, err := os.Stat(filepath.Join(t.root, pkg)); err == nil { // the other commit may not have it
			args = append(args, "./"+pkg)
		}
	}
	_, err := b.command(ctx, t.root, b.goTool, args...)
	return err
}

// benchmark takes one turn of a tree and adds what it says to its file.
func (b *bench) benchmark(ctx context.Context, t tree) (err error) {
	f, err := os.OpenFile(t.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep micro-benchmarks: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, pkg := range microPackages {
		binary := filepath.Join(t.bin, filepath.Base(pkg)+".test")
		if _, err := os.Stat(binary); err != nil {
			continue
		}
		out, err := b.command(ctx, filepath.Join(t.root, pkg), binary, "-test.run", "^$", "-test.bench", ".",
			"-test.skip", microSkip, "-test.benchmem",
			"-test.benchtime", microTime, "-test.count", strconv.Itoa(microCount))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(f, out); err != nil {
			return fmt.Errorf("keep micro-benchmarks: %w", err)
		}
	}
	return nil
}
