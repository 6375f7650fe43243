package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
)

// binaries builds the command for each target.
func (c *config) binaries(ctx context.Context, work string) error {
	for _, t := range c.targets {
		if err := c.compile(ctx, t, c.binary(work, t)); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) binary(work string, t target) string {
	return filepath.Join(work, t.String(), "stoker")
}

// compile builds a static binary that says nothing of where it was built.
func (c *config) compile(ctx context.Context, t target, out string) error {
	cmd := exec.CommandContext(ctx, c.goTool, "build", "-trimpath", "-buildvcs=false", "-ldflags",
		"-s -w -buildid= -X main.release="+c.version+" -X main.commit="+c.commit, "-o", out, "./cmd/stoker")
	cmd.Dir = c.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOFLAGS=-mod=readonly")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build for %s: %w\n%s", t, err, text)
	}
	return nil
}

// shells have completions.
var shells = []string{"bash", "zsh", "fish"}

// manuals lets the binary of this machine write its man pages and completions.
func (c *config) manuals(ctx context.Context, work string) error {
	own := target{runtime.GOOS, runtime.GOARCH}
	tool := c.binary(work, own)
	if !slices.Contains(c.targets, own) {
		tool = filepath.Join(work, "own", "stoker")
		if err := c.compile(ctx, own, tool); err != nil {
			return err
		}
	}
	man := exec.CommandContext(ctx, tool, "man", filepath.Join(work, "man"))
	man.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(c.date.Unix(), 10))
	if text, err := man.CombinedOutput(); err != nil {
		return fmt.Errorf("man pages: %w\n%s", err, text)
	}
	for _, shell := range shells {
		text, err := exec.CommandContext(ctx, tool, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion for %s: %w", shell, err)
		}
		if err := os.WriteFile(filepath.Join(work, "completion."+shell), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// archives packs each binary with what a user without packages needs.
func (c *config) archives(_ context.Context, work string) error {
	for _, t := range c.targets {
		name := fmt.Sprintf("stoker_%s_%s", c.version, t)
		files := []entry{{name: name + "/stoker", from: c.binary(work, t), mode: 0o755}}
		for _, f := range []string{"LICENSE", "README.md", "CHANGELOG.md", "deploy/stoker.example.yaml",
			"deploy/stoker.schema.json", "deploy/systemd/stoker.service"} {
			files = append(files, entry{name: name + "/" + filepath.Base(f), from: filepath.Join(c.source, f), mode: 0o644})
		}
		pages, err := filepath.Glob(filepath.Join(work, "man", "*.1"))
		if err != nil {
			return err
		}
		for _, page := range pages {
			files = append(files, entry{name: name + "/man/" + filepath.Base(page), from: page, mode: 0o644})
		}
		for _, shell := range shells {
			files = append(files, entry{name: name + "/completion/stoker." + shell,
				from: filepath.Join(work, "completion."+shell), mode: 0o644})
		}
		var b bytes.Buffer
		if err := c.tarGz(&b, files); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.out, name+".tar.gz"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
