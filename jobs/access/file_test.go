package access_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a file of a secret may be, and what is said of the others. Broken by: a TrimSpace of the password; a ReadFile
// that waits for a pipe.
func TestReadSecret(t *testing.T) {
	for text, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", "secret\n\n": "secret",
		"\ufeffsecret\n": "secret", " se cret ": " se cret ", "ünïcode\n": "ünïcode",
	} {
		if got, err := access.ReadSecret(file(t, "s", text)); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file(t, "empty", ""):                          "is empty",
		file(t, "blank", " \n"):                       "is empty",
		file(t, "lines", "one\ntwo\n"):                "has several lines",
		file(t, "utf16", "s\x00e\x00"):                "is no text file",
		file(t, "binary", "\xff\xfe\x80"):             "is no text file",
		file(t, "large", strings.Repeat("x", 70<<10)): "is larger than 65536 bytes",
		filepath.Join(t.TempDir(), "no"):              "does not exist",
		t.TempDir():                                   "is a folder",
		fifo:                                          "is no regular file",
		"/dev/null":                                   "is no regular file",
		filepath.Join(file(t, "file", "x"), "below/a/file"): "cannot be read",
	} {
		_, err := access.ReadSecret(path)
		if _, is := errors.AsType[*jobs.Mistake](err); !is || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
	}
	open := file(t, "open", "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := access.Exposed(open); !strings.Contains(got, "0644") || access.Exposed(file(t, "closed", "x")) != "" {
		t.Errorf("exposed: %q", got)
	}
}

// A file that is not there for a moment, or is empty, leaves what it held before, and is said once; what it holds
// afterwards is used at once. Broken by: Next that returns nothing where the file is missing; a warning a connection.
func TestLoginKeepsWhatItKnew(t *testing.T) {
	var out bytes.Buffer
	access.SetLogger(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { access.SetLogger(slog.Default()) })
	path := file(t, "password", "one\n")
	l := access.NewPostgres(jobs.Endpoint{Field: "postgres", URL: jobs.NewSecret("postgres://u@h/d?password=one"),
		Access: jobs.Access{PasswordFile: path}})
	want := func(password string) {
		t.Helper()
		if got := l.Next().Reveal(); got != "postgres://u@h/d?password="+password {
			t.Errorf("%s, want the password %s", got, password)
		}
	}
	want("one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("one")
	want("one")
	for _, text := range []string{"", "two lines\nof text"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want("one")
	}
	if err := os.WriteFile(path, []byte("t/w&o"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("t%2Fw%26o")
	if n := strings.Count(out.String(), "level=WARN"); n != 1 || !strings.Contains(out.String(), path) {
		t.Errorf("%d warnings:\n%s", n, out.String())
	}
}

// While a password is replaced, the one that was taken before is tried as well; one that stays refused ends the wait,
// names its file, and is not waited for again. Broken by: Next that ignores its turn; a Retry without an end.
func TestRetryBridgesARotation(t *testing.T) {
	path := file(t, "password", "old\n")
	l := access.NewRedis(jobs.Endpoint{Field: "redis.queue", URL: jobs.NewSecret("redis://:old@h:1"),
		Access: jobs.Access{PasswordFile: path}})
	server := "redis://:old@h:1" // what the server takes
	refusal := errors.New("WRONGPASS")
	tries := 0
	connect := func() error {
		tries++
		url := l.Next()
		if url.Reveal() != server {
			return refusal
		}
		l.Proved(url)
		return nil
	}
	retry := func() error {
		tries = 0
		return l.Retry(context.Background(), func(err error) bool { return err == refusal }, connect)
	}
	if err := retry(); err != nil || tries != 1 {
		t.Fatal(err, tries)
	}
	if err := os.WriteFile(path, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := retry(); err != nil || tries != 2 {
		t.Errorf("the file is new and the server is not: %v after %d", err, tries)
	}
	server = "redis://:new@h:1"
	if err := retry(); err != nil || tries != 1 {
		t.Errorf("both are new: %v after %d", err, tries)
	}
	server = "redis://:other@h:1"
	if err := retry(); err == nil || !strings.Contains(err.Error(), "redis.queue_password_file "+path) || tries < 10 {
		t.Errorf("refused for good: %v after %d", err, tries)
	}
	if err := retry(); err == nil || tries != 1 {
		t.Errorf("refused again: %v after %d", err, tries)
	}
}
