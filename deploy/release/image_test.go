package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func itoa(n int) string { return strconv.Itoa(n) }

// The image's root, read-only and as the image's user: the daemon becomes ready, its own health check says so, a job
// is warm, a schedule in a named zone loads, and it stops in order.
func TestImageRunsReadOnlyWithoutRoot(t *testing.T) {
	root := filepath.Join(reachable(t), "root")
	unpackImage(t, root)
	env, listen := servers(t)
	spec := strings.Replace(testSpec, `"@every 1h"`, "\"0 3 * * *\"\n    time_zone: Europe/Berlin", 1)
	writeFile(t, filepath.Join(root, "etc/stoker/stoker.yaml"), spec)
	in := func(arg ...string) *daemon {
		return startIn(t, root, nonroot, env, append([]string{"/usr/bin/stoker", arg[0], "--config",
			"/etc/stoker/stoker.yaml"}, arg[1:]...)...)
	}
	if h := in("health"); h.end() != 1 {
		t.Errorf("health without a daemon: %s", h.out)
	}
	d := in("run")
	d.awaitReady(listen)
	if h := in("health"); h.end() != 0 {
		t.Errorf("health: %s", h.out)
	}
	if w := in("warm", "one", "--wait"); w.end() != 0 {
		t.Errorf("warm: %s", w.out)
	}
	resp, err := http.Get("http://" + listen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	check(t, resp.Body.Close())
	if status := d.stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Nothing of the image can be run but Stoker, nothing is writable for its user, and none of it is set-uid.
func TestImageHasNothingElse(t *testing.T) {
	root := filepath.Join(reachable(t), "root")
	unpackImage(t, root)
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(path, root+"/")
		if info.Mode()&0o111 != 0 && rel != "usr/bin/stoker" {
			t.Errorf("%s can be run", rel)
		}
		if info.Mode()&0o022 != 0 || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			t.Errorf("%s has mode %s", rel, info.Mode())
		}
		return nil
	})
	check(t, err)
	if out, err := exec.Command("ldd", filepath.Join(root, "usr/bin/stoker")).CombinedOutput(); err == nil {
		t.Errorf("the binary is not static: %s", out)
	}
	if certs := read(t, filepath.Join(root, caBundle)); strings.Count(certs, "BEGIN CERTIFICATE") < 50 {
		t.Error("no certificates")
	}
}

func unpackImage(t *testing.T, root string) {
	t.Helper()
	img, err := tarball.ImageFromPath(artefact(t, "*_image.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tar := exec.Command("tar", "-x", "-C", root)
	tar.Stdin = files
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// reachable is a folder that other users can walk into.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
