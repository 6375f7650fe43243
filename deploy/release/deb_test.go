package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// suite is the Debian that the package is tried in.
const suite = "bookworm"

// needsDebian skips where Debian's tools cannot be: the continuous integration is a Debian, where one that lacks
// fails the test.
func needsDebian(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("not a Debian: ", err)
	}
}

// chroot unpacks a small Debian. It is fetched once and kept in the user's cache.
func chroot(t *testing.T) string {
	t.Helper()
	needsDebian(t)
	needsRoot(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, "stoker", suite+".tar")
	if _, err := os.Stat(kept); err != nil {
		if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
			t.Fatal(err)
		}
		partial := kept + ".partial"
		command(t, "mmdebstrap", "--variant=essential", "--include=passwd", suite, partial+".tar")
		if err := os.Rename(partial+".tar", kept); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(reachable(t), "debian")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "tar", "-x", "-C", root, "--exclude=./dev/*", "-f", kept)
	// Scripts of packages that stay on the machine write to it. There is no /dev/null in a root without devices.
	command(t, "mknod", "-m", "666", filepath.Join(root, "dev/null"), "c", "1", "3")
	return root
}

// dpkg runs Debian's package manager in a root and returns what it says.
func dpkg(t *testing.T, root string, arg ...string) string {
	t.Helper()
	return command(t, "chroot", append([]string{root, "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold"}, arg...)...)
}

// The package is installed, runs as its unit would run it, is upgraded with the spec kept, and purged.
//
// Broken by: a spec that is no conffile; a script that fails without systemd; a unit whose command line is wrong.
func TestDebInstallUpgradePurge(t *testing.T) {
	root := chroot(t)
	debs := map[string]string{"1.2.3": artefact(t, "*.deb"), "1.3.0": newerDeb(t)}
	for version, deb := range debs {
		command(t, "cp", deb, filepath.Join(root, "tmp", version+".deb"))
	}
	dpkg(t, root, "--install", "/tmp/1.2.3.deb")
	if out := command(t, "chroot", root, "/usr/bin/stoker", "version"); !strings.Contains(out, "stoker 1.2.3, commit ") {
		t.Errorf("version: %s", out)
	}
	if out := command(t, "chroot", root, "stat", "-c", "%U:%G %a", "/etc/stoker/stoker.yaml"); out != "root:stoker 640\n" {
		t.Errorf("the spec is %s", out)
	}
	runAsUnit(t, root)

	writeFile(t, filepath.Join(root, "etc/stoker/stoker.yaml"), testSpec+"# mine\n")
	dpkg(t, root, "--install", "/tmp/1.3.0.deb")
	if got := read(t, filepath.Join(root, "etc/stoker/stoker.yaml")); !strings.HasSuffix(got, "# mine\n") {
		t.Errorf("the spec was replaced by the upgrade:\n%s", got)
	}
	if out := command(t, "chroot", root, "/usr/bin/stoker", "version"); !strings.Contains(out, "stoker 1.3.0, commit ") {
		t.Errorf("version after the upgrade: %s", out)
	}
	dpkg(t, root, "--remove", "stoker")
	if got := read(t, filepath.Join(root, "etc/stoker/stoker.yaml")); !strings.HasSuffix(got, "# mine\n") {
		t.Error("the spec went with the package")
	}
	dpkg(t, root, "--purge", "stoker")
	for _, path := range []string{"etc/stoker", "usr/bin/stoker", "usr/lib/systemd/system/stoker.service"} {
		if _, err := os.Lstat(filepath.Join(root, path)); !os.IsNotExist(err) {
			t.Errorf("%s is left after the purge: %v", path, err)
		}
	}
}

// newerDeb builds the package of the next version.
func newerDeb(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, err := parse(t.Context(), args("..", dir))
	if err != nil {
		t.Fatal(err)
	}
	c.version = "1.3.0"
	check(t, c.binaries(t.Context(), dir))
	check(t, c.manuals(t.Context(), dir))
	check(t, c.packageOf("deb", c.targets[0], dir))
	list, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

// runAsUnit starts the command line of the installed unit as systemd would: as its user, read-only, with its
// environment file's variables, waits for READY=1, warms a job and stops it.
func runAsUnit(t *testing.T, root string) {
	t.Helper()
	env, listen := servers(t)
	spec := filepath.Join(root, "etc/stoker/stoker.yaml")
	original := read(t, spec)
	// The spec of the package, with the address of the test: its secrets are those of LoadCredential=.
	if err := os.WriteFile(spec, []byte(original+"  - {name: one, query: SELECT 1 AS id, key: \"one:{id}\"}\n"+
		"admin: {listen: \"${LISTEN}\"}\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	unit := read(t, filepath.Join(root, "usr/lib/systemd/system/stoker.service"))
	line := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("the unit has no command line")
	}
	uid := strings.TrimSpace(command(t, "chroot", root, "id", "-u", "stoker"))
	gid := strings.TrimSpace(command(t, "chroot", root, "id", "-g", "stoker"))
	if uid != gid {
		t.Fatalf("user %s, group %s: one number is assumed below", uid, gid)
	}
	env = credentials(t, root, unit, env, uid+":"+gid)
	socket := filepath.Join(root, "run/notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	check(t, os.Chmod(socket, 0o666))
	number := 0
	for _, c := range uid {
		number = number*10 + int(c-'0')
	}
	d := startIn(t, root, number, append(env, "NOTIFY_SOCKET=/run/notify"), strings.Fields(line[1])...)
	buf := make([]byte, 512)
	check(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "READY=1") {
		t.Fatalf("notified %q, %v: %s", buf[:n], err, d.out)
	}
	d.awaitReady(listen)
	w := startIn(t, root, number, env, "/usr/bin/stoker", "--config", "/etc/stoker/stoker.yaml", "warm", "one", "--wait")
	if w.end() != 0 {
		t.Errorf("warm: %s", w.out)
	}
	if status := d.stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if err := os.WriteFile(spec, []byte(original), 0o640); err != nil {
		t.Fatal(err)
	}
}

// credentials gives the service its secrets as systemd does: files of its own, named by the unit's LoadCredential=. It
// returns the environment without them.
func credentials(t *testing.T, root, unit string, env []string, owner string) (left []string) {
	t.Helper()
	load := regexp.MustCompile(`(?m)^LoadCredential=(\w+):(/etc/stoker/credentials)$`).FindStringSubmatch(unit)
	if load == nil {
		t.Fatal("the unit loads no credentials")
	}
	const folder = "run/credentials/stoker.service"
	for _, v := range env {
		name, is := map[string]string{"DATABASE_URL": "postgres_url", "REDIS_URL": "redis_url"}[strings.Split(v, "=")[0]]
		if !is {
			left = append(left, v)
			continue
		}
		path := filepath.Join(root, folder, load[1]+"_"+name)
		writeFile(t, path, strings.SplitN(v, "=", 2)[1]+"\n")
		check(t, os.Chmod(path, 0o400))
	}
	command(t, "chown", "-R", owner, filepath.Join(root, "run/credentials"))
	return append(left, "CREDENTIALS_DIRECTORY=/"+folder)
}

// Debian's own critic has nothing to say.
func TestDebIsLintianClean(t *testing.T) {
	needsDebian(t)
	arg := []string{"--fail-on", "error,warning", artefact(t, "*.deb")}
	if os.Getuid() == 0 {
		arg = append([]string{"--allow-root"}, arg...)
	}
	if out := command(t, "lintian", arg...); strings.Contains(out, ": stoker:") {
		t.Errorf("lintian:\n%s", out)
	}
}

// rpm and apk have the files of the .deb, but for what is Debian's own.
func TestPackagesHaveTheSameFiles(t *testing.T) {
	files := func(out string) map[string]bool {
		list := make(map[string]bool)
		for _, path := range regexp.MustCompile(`(?:^|\s)\.?/?((?:usr|etc)/\S+[^/\s])(?m:$)`).FindAllStringSubmatch(out, -1) {
			list[path[1]] = true
		}
		return list
	}
	deb := files(command(t, "dpkg-deb", "--contents", artefact(t, "*.deb")))
	apk := files(command(t, "tar", "-tzf", artefact(t, "*.apk")))
	for _, want := range []string{"usr/bin/stoker", "etc/stoker/stoker.yaml", "usr/share/man/man1/stoker-run.1.gz"} {
		if !deb[want] || !apk[want] {
			t.Errorf("%s: deb %v, apk %v", want, deb[want], apk[want])
		}
	}
	if rpm := artefact(t, "*.rpm"); runtime.GOARCH == "amd64" && !strings.HasSuffix(rpm, ".x86_64.rpm") {
		t.Errorf("the rpm is called %s", rpm)
	}
}

// The unit is hardened and in order.
//
// Broken by: a setting of the sandbox that is taken out; an option that systemd does not know.
func TestUnit(t *testing.T) {
	needsDebian(t)
	const unit = "../systemd/stoker.service"
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("exposure of more than 1.5: %v\n%s", err, out)
	}
	exposure := regexp.MustCompile(`Overall exposure level for stoker.service: (\S+)`).FindSubmatch(out)
	if exposure == nil {
		t.Fatalf("no exposure level:\n%s", out)
	}
	t.Logf("exposure %s", exposure[1])
	// verify wants the program and the manual at their places: a root with both.
	root := filepath.Join(reachable(t), "root")
	writeFile(t, filepath.Join(root, "usr/bin/stoker"), "#!/bin/sh\n")
	check(t, os.Chmod(filepath.Join(root, "usr/bin/stoker"), 0o755))
	text := strings.Replace(read(t, unit), "ExecStart=/usr/bin/stoker", "ExecStart="+filepath.Join(root, "usr/bin/stoker"), 1)
	copied := filepath.Join(root, "stoker.service")
	writeFile(t, copied, text)
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
