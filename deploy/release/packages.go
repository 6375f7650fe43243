package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// maintainer stands in each package.
const maintainer = "The Stoker authors <maintainers@stokerhq.example>"

const description = `keeps a shared Redis warm with the results of hot Postgres queries
Stoker runs the queries of one file on a schedule, on demand and when the
database commits a change, and writes each result under its key with a TTL.
API nodes in any language read warm keys with a plain GET.`

// packages makes a package of each kind for each Linux target.
func (c *config) packages(_ context.Context, work string) error {
	for _, t := range c.targets {
		if t.os != "linux" {
			continue
		}
		for _, kind := range []string{"deb", "rpm", "apk"} {
			if err := c.packageOf(kind, t, work); err != nil {
				return fmt.Errorf("%s for %s: %w", kind, t, err)
			}
		}
	}
	return nil
}

func (c *config) packageOf(kind string, t target, work string) error {
	packager, err := nfpm.Get(kind)
	if err != nil {
		return err
	}
	contents, err := c.contents(kind, t, work)
	if err != nil {
		return err
	}
	install := "postinstall.sh"
	if kind == "apk" {
		install = "postinstall.apk.sh"
	}
	scripts, err := c.scripts(work, install, "preremove.sh", "postremove.sh")
	if err != nil {
		return err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "stoker", Arch: t.arch, Platform: "linux", Version: c.version, Section: "database", Priority: "optional",
		Maintainer: maintainer, Vendor: "Stoker", Homepage: "https://github.com/stokerhq/stoker", License: "Apache-2.0",
		Description: description, MTime: c.date,
		Overridables: nfpm.Overridables{
			Contents:   contents,
			Recommends: []string{"ca-certificates"},
			Umask:      0o022,
			Scripts: nfpm.Scripts{
				PostInstall: scripts[0],
				PreRemove:   scripts[1],
				PostRemove:  scripts[2],
			},
			RPM: nfpm.RPM{BuildHost: "release"},
		},
	})
	if err := nfpm.PrepareForPackager(info, kind); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.out, packager.ConventionalFileName(info)), b.Bytes(), 0o644)
}

// scripts copies scripts of the packages and gives the copies the time of the commit, which goes into a package.
func (c *config) scripts(work string, names ...string) (paths []string, err error) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(c.source, "deploy", "packages", name))
		if err != nil {
			return nil, err
		}
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, text, 0o755); err != nil {
			return nil, err
		}
		if err := os.Chtimes(path, c.date, c.date); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// contents are the files of a package.
func (c *config) contents(kind string, t target, work string) (files.Contents, error) {
	deploy := filepath.Join(c.source, "deploy")
	list := files.Contents{
		c.file(c.binary(work, t), "/usr/bin/stoker", 0o755),
		c.file(filepath.Join(deploy, "systemd", "stoker.service"), "/usr/lib/systemd/system/stoker.service", 0o644),
		c.file(filepath.Join(deploy, "systemd", "stoker.sysusers"), "/usr/lib/sysusers.d/stoker.conf", 0o644),
		c.file(filepath.Join(work, "completion.bash"), "/usr/share/bash-completion/completions/stoker", 0o644),
		c.file(filepath.Join(work, "completion.zsh"), "/usr/share/zsh/vendor-completions/_stoker", 0o644),
		c.file(filepath.Join(work, "completion.fish"), "/usr/share/fish/vendor_completions.d/stoker.fish", 0o644),
	}
	for _, dir := range []string{"/etc/stoker", "/etc/stoker/credentials"} {
		list = append(list, &files.Content{Destination: dir, Type: files.TypeDir,
			FileInfo: &files.ContentFileInfo{Mode: 0o750, MTime: c.date, Owner: "root", Group: "root"}})
	}
	list[len(list)-1].FileInfo.Mode = 0o700
	spec := c.file(filepath.Join(deploy, "packages", "stoker.yaml"), "/etc/stoker/stoker.yaml", 0o640)
	spec.Type = files.TypeConfigNoReplace
	list = append(list, spec)
	texts, err := c.papers(kind, work)
	if err != nil {
		return nil, err
	}
	return append(list, texts...), nil
}

func (c *config) file(from, to string, mode os.FileMode) *files.Content {
	return &files.Content{Source: from, Destination: to,
		FileInfo: &files.ContentFileInfo{Mode: mode, MTime: c.date, Owner: "root", Group: "root"}}
}

// papers are man pages, changelog, licence and the example.
func (c *config) papers(kind, work string) (files.Contents, error) {
	const docs = "/usr/share/doc/stoker/"
	deploy := filepath.Join(c.source, "deploy")
	list := files.Contents{
		c.file(filepath.Join(deploy, "stoker.example.yaml"), docs+"examples/stoker.yaml", 0o644),
		c.file(filepath.Join(deploy, "stoker.schema.json"), docs+"examples/stoker.schema.json", 0o644),
	}
	pages, err := filepath.Glob(filepath.Join(work, "man", "*.1"))
	if err != nil {
		return nil, err
	}
	sort.Strings(pages)
	for _, page := range pages {
		packed, err := c.packed(work, page)
		if err != nil {
			return nil, err
		}
		list = append(list, c.file(packed, "/usr/share/man/man1/"+filepath.Base(page)+".gz", 0o644))
	}
	changes, err := c.packed(work, filepath.Join(c.source, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	list = append(list, c.file(changes, docs+"CHANGELOG.md.gz", 0o644))
	if kind != "deb" {
		return append(list, c.file(filepath.Join(c.source, "LICENSE"), docs+"LICENSE", 0o644)), nil
	}
	changelog, err := c.debianChangelog(work)
	if err != nil {
		return nil, err
	}
	return append(list, c.file(changelog, docs+"changelog.gz", 0o644),
		c.file(filepath.Join(deploy, "packages", "copyright"), docs+"copyright", 0o644),
		c.file(filepath.Join(deploy, "packages", "lintian-overrides"), "/usr/share/lintian/overrides/stoker", 0o644)), nil
}

// packed writes a compressed copy of a file.
func (c *config) packed(work, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if text, err = gzipped(text); err != nil {
		return "", err
	}
	out := filepath.Join(work, filepath.Base(path)+".gz")
	return out, os.WriteFile(out, text, 0o644)
}

// debianChangelog writes the one entry that Debian's format asks for.
func (c *config) debianChangelog(work string) (string, error) {
	text, err := gzipped(fmt.Appendf(nil, "stoker (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n",
		strings.Replace(c.version, "-", "~", 1), maintainer, c.date.Format(time.RFC1123Z)))
	if err != nil {
		return "", err
	}
	out := filepath.Join(work, "changelog.debian.gz")
	return out, os.WriteFile(out, text, 0o644)
}
