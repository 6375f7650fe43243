package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user that images without root run as, by convention.
const nonroot = 65532

// caBundle is where the image has its certificates, and where Go looks for them.
const caBundle = "etc/ssl/certs/ca-certificates.crt"

// image builds one image for all Linux targets: an OCI layout, packed into one tar, and one tar a machine that
// `docker load` and `podman load` read.
func (c *config) image(_ context.Context, work string) error {
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	for _, t := range c.targets {
		if t.os != "linux" {
			continue
		}
		img, err := c.imageOf(t, c.binary(work, t))
		if err != nil {
			return fmt.Errorf("for %s: %w", t, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: t.os, Architecture: t.arch}}})
		if err := c.loadable(t, img); err != nil {
			return err
		}
	}
	dir := filepath.Join(work, "oci")
	if _, err := layout.Write(dir, empty.Index); err != nil {
		return err
	}
	path := layout.Path(dir)
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": c.version})); err != nil {
		return err
	}
	return c.packLayout(dir)
}

// imageOf builds the image of one machine: the binary, certificates and two names; no shell, nothing to write to.
func (c *config) imageOf(t target, binary string) (v1.Image, error) {
	certs, err := os.ReadFile("/" + caBundle)
	if err != nil {
		return nil, fmt.Errorf("certificates of this machine (Debian: apt-get install ca-certificates): %w", err)
	}
	var b bytes.Buffer
	if err := c.writeTar(&b, []entry{
		{name: "etc/", dir: true, mode: 0o755},
		{name: "etc/group", text: []byte("root:x:0:\nnonroot:x:65532:\n"), mode: 0o644},
		{name: "etc/passwd", text: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"),
			mode: 0o644},
		{name: "etc/ssl/", dir: true, mode: 0o755},
		{name: "etc/ssl/certs/", dir: true, mode: 0o755},
		{name: caBundle, text: certs, mode: 0o644},
		{name: "etc/stoker/", dir: true, mode: 0o755},
		{name: "usr/", dir: true, mode: 0o755},
		{name: "usr/bin/", dir: true, mode: 0o755},
		{name: "usr/bin/stoker", from: binary, mode: 0o755},
	}); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: c.date}, CreatedBy: "stoker release", Comment: "stoker " + c.version}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = t.os, t.arch, v1.Time{Time: c.date}
	file.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", nonroot, nonroot),
		Entrypoint: []string{"/usr/bin/stoker"},
		Cmd:        []string{"run"},
		WorkingDir: "/etc/stoker",
		Env:        []string{"PATH=/usr/bin", "SSL_CERT_FILE=/" + caBundle},
		Labels:     c.labels(),
		StopSignal: "SIGTERM",
		ExposedPorts: map[string]struct{}{
			"8080/tcp": {},
		},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/usr/bin/stoker", "health"}, Interval: 10 * time.Second,
			Timeout: 5 * time.Second, StartPeriod: 30 * time.Second, Retries: 3},
	}
	return mutate.ConfigFile(img, file)
}

// labels are those of the OCI image specification.
func (c *config) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       "stoker",
		prefix + "description": "Keeps a shared Redis warm with the results of hot Postgres queries",
		prefix + "url":         "https://github.com/stokerhq/stoker",
		prefix + "source":      "https://github.com/stokerhq/stoker",
		prefix + "licenses":    "Apache-2.0",
		prefix + "version":     c.version,
		prefix + "revision":    c.commit,
		prefix + "created":     c.date.Format(time.RFC3339),
	}
}

// loadable writes the image of one machine for `docker load`. Its platform is in its name.
func (c *config) loadable(t target, img v1.Image) error {
	tag, err := imageTag(c.version)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(filepath.Join(c.out, fmt.Sprintf("stoker_%s_%s_image.tar", c.version, t)), tag, img)
}

// packLayout packs the layout's folder in the order of its names.
func (c *config) packLayout(dir string) error {
	var files []entry
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e := entry{name: filepath.ToSlash(rel), from: path, mode: 0o644}
		if info.IsDir() {
			e = entry{name: e.name + "/", dir: true, mode: 0o755}
		}
		files = append(files, e)
		return nil
	})
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(c.out, "stoker_"+c.version+"_image_oci.tar"))
	if err != nil {
		return err
	}
	defer out.Close()
	if err := c.writeTar(out, files); err != nil {
		return err
	}
	return out.Close()
}

// imageTag is the image's name. Tags have no plus sign, which versions may have.
func imageTag(version string) (name.Tag, error) {
	return name.NewTag("stoker:" + strings.ReplaceAll(version, "+", "-"))
}
