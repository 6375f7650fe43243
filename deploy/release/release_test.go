package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/stokerhq/stoker/store/testserver"
)

// dist is a release for this machine, built once.
var dist string

func TestMain(m *testing.M) {
	testserver.KeepTemplates()
	dir, err := os.MkdirTemp("", "stoker-release-")
	if err == nil {
		dist = filepath.Join(dir, "dist")
		err = run(context.Background(), args("..", dist))
	}
	status := 1
	if err != nil {
		_, _ = os.Stderr.WriteString("release: " + err.Error() + "\n")
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

func args(source, out string) []string {
	return []string{"-source", filepath.Join("..", source), "-out", out, "-version", "v1.2.3",
		"-targets", "linux/" + runtime.GOARCH}
}

// artefact returns the one artefact that a pattern names.
func artefact(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %q, %v", pattern, list, err)
	}
	return list[0]
}

// Two builds, at two places, with another umask and in another zone, are the same bytes.
//
// Broken by: the time of now, or of a file, in any artefact.
func TestBuildsAreByteIdentical(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "elsewhere")
	for _, cmd := range []*exec.Cmd{
		exec.Command("cp", "-r", "../..", clone),
		exec.Command("git", "-C", clone, "status", "--short"),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	program := filepath.Join(t.TempDir(), "release")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	other := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("sh", append([]string{"-c", `umask 077; exec "$0" "$@"`, program},
		args(clone, other)...)...)
	cmd.Args[slices.Index(cmd.Args, "-source")+1] = clone
	cmd.Env = append(os.Environ(), "TZ=Asia/Tokyo")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first, second := read(t, filepath.Join(dist, "checksums.txt")), read(t, filepath.Join(other, "checksums.txt"))
	if first != second {
		t.Errorf("the checksums differ:\n%s\n%s", first, second)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sha256sum accepts the checksums, and each artefact is among them.
func TestChecksums(t *testing.T) {
	cmd := exec.Command("sha256sum", "--check", "--strict", "checksums.txt")
	cmd.Dir = dist
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(read(t, filepath.Join(dist, "checksums.txt")), "\n")
	if lines != len(files)-1 || lines < 8 {
		t.Errorf("%d checksums of %d files", lines, len(files))
	}
}

// The SBOM lists each module of go.sum.
func TestSBOMListsEachModule(t *testing.T) {
	var bom struct {
		BOMFormat  string
		Components []struct{ PURL string }
	}
	if err := json.Unmarshal([]byte(read(t, artefact(t, "*_sbom.cdx.json"))), &bom); err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, c := range bom.Components {
		listed[c.PURL] = true
	}
	want := 0
	for _, m := range regexp.MustCompile(`(?m)^(\S+) (v[^\s/]+) h1:`).FindAllStringSubmatch(
		read(t, "../../go.sum"), -1) {
		want++
		if !listed["pkg:golang/"+m[1]+"@"+m[2]] {
			t.Errorf("%s %s is not in the SBOM", m[1], m[2])
		}
	}
	if bom.BOMFormat != "CycloneDX" || len(bom.Components) != want || want < 30 {
		t.Errorf("%s with %d components, go.sum has %d modules", bom.BOMFormat, len(bom.Components), want)
	}
}

// The image says what an orchestrator wants to know.
func TestImageConfig(t *testing.T) {
	img, err := tarball.ImageFromPath(artefact(t, "*_image.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || file.Architecture != runtime.GOARCH || file.OS != "linux" {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.Healthcheck.Test, []string{"CMD", "/usr/bin/stoker", "health"}) {
		t.Errorf("health check %q: there is no shell", c.Healthcheck.Test)
	}
	for _, label := range []string{"title", "description", "url", "source", "licenses", "version", "revision", "created"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("no label %s", label)
		}
	}
}

func TestPackageVersion(t *testing.T) {
	for described, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3-rc.1": "1.2.3-rc.1", "a1b2c3d": "0.0.0-a1b2c3d", "1234567": "0.0.0-1234567",
		"v0.1.0-4-gabcdef0-dirty": "0.1.0-4-gabcdef0-dirty",
	} {
		if got := packageVersion(described); got != want {
			t.Errorf("%s: %s, want %s", described, got, want)
		}
	}
}

// Broken by: a target that is not checked.
func TestBadTargets(t *testing.T) {
	if err := run(t.Context(), []string{"-targets", "linux"}); err == nil {
		t.Error("accepted")
	}
}
