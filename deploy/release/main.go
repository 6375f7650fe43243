// Command release builds everything that a release of Stoker consists of into one folder: archives of the binary,
// packages for Debian, Red Hat and Alpine, the container image, the Helm chart, an SBOM and the checksums of all.
//
//	source ──go build──► binaries ──► stoker_V_linux_amd64.tar.gz ...
//	                        │    └──► image index (OCI layout, one tar)
//	                        └─ man, completion ──► .deb .rpm .apk
//	go.sum ──► SBOM        chart ──► .tgz        all ──► checksums.txt
//
// The same source, version and Go make the same bytes, wherever and whenever: times are those of the commit.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// config is what a release is made of.
type config struct {
	source  string // root of the checkout
	out     string // folder of the artefacts
	version string // without the v
	commit  string
	date    time.Time // of the commit; the time of every file
	targets []target
	goTool  string
}

// target is a machine that a binary is built for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "_" + t.arch }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	c, err := parse(ctx, args)
	if err != nil {
		return err
	}
	return c.build(ctx)
}

// parse reads the command line; what is not given is asked of git.
func parse(ctx context.Context, args []string) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.StringVar(&c.source, "source", "..", "root of the checkout")
	f.StringVar(&c.out, "out", "../dist", "folder of the artefacts; it is replaced")
	f.StringVar(&c.version, "version", "", "version (default: git describe)")
	f.StringVar(&c.goTool, "go", "go", "the go command")
	targets := f.String("targets", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "machines")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	for t := range strings.SplitSeq(*targets, ",") {
		system, arch, ok := strings.Cut(t, "/")
		if !ok {
			return nil, fmt.Errorf("-targets: %q is not os/arch", t)
		}
		c.targets = append(c.targets, target{system, arch})
	}
	var err error
	if c.source, err = filepath.Abs(c.source); err != nil {
		return nil, err
	}
	if c.out, err = filepath.Abs(c.out); err != nil {
		return nil, err
	}
	return c, c.askGit(ctx)
}

func (c *config) askGit(ctx context.Context) error {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", c.source}, args...)...).Output()
		if err != nil {
			return "", fmt.Errorf("git %s in %s: %w", strings.Join(args, " "), c.source, err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	var err error
	if c.commit, err = git("rev-parse", "HEAD"); err != nil {
		return err
	}
	if c.version == "" {
		if c.version, err = git("describe", "--tags", "--always", "--dirty"); err != nil {
			return err
		}
	}
	c.version = packageVersion(c.version)
	seconds, err := git("log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("time of the commit: %w", err)
	}
	c.date = time.Unix(s, 0).UTC()
	return nil
}

// packageVersion makes a version of what git describes: without a tag, packages and charts need one that sorts
// before the first.
func packageVersion(described string) string {
	v := strings.TrimPrefix(described, "v")
	if v != "" && v[0] >= '0' && v[0] <= '9' && strings.Contains(v, ".") {
		return v
	}
	return "0.0.0-" + v
}

// build makes the artefacts, in the order in which one needs the other.
func (c *config) build(ctx context.Context) error {
	if err := os.RemoveAll(c.out); err != nil {
		return fmt.Errorf("empty the folder of the artefacts: %w", err)
	}
	work := filepath.Join(c.out, ".work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return fmt.Errorf("make the folder of the artefacts: %w", err)
	}
	for _, step := range []struct {
		what string
		do   func(context.Context, string) error
	}{
		{"binaries", c.binaries}, {"man pages and completions", c.manuals}, {"archives", c.archives},
		{"packages", c.packages}, {"image", c.image}, {"chart", c.chart}, {"SBOM", c.sbom},
	} {
		begun := time.Now()
		if err := step.do(ctx, work); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Printf("%-26s %s\n", step.what, time.Since(begun).Round(100*time.Millisecond))
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove what was in between: %w", err)
	}
	return c.checksums()
}
