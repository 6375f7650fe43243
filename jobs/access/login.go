package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// logger is where files that cannot be read any more are reported.
var logger atomic.Pointer[slog.Logger]

// SetLogger sets where a Login reports files that cannot be read any more: a process has one log.
func SetLogger(log *slog.Logger) { logger.Store(log) }

// Logger is what SetLogger has set.
func Logger() *slog.Logger {
	if l := logger.Load(); l != nil {
		return l
	}
	return slog.Default()
}

// kind is what differs between the servers.
type kind struct {
	parse func(text string) (jobs.Secret, error)
	merge func(url jobs.Secret, password, sentinels string) jobs.Secret // "": as the URL has it
}

var (
	postgres = kind{connurl.ParsePostgres, func(url jobs.Secret, password, _ string) jobs.Secret {
		if password == "" {
			return url
		}
		return connurl.WithParameter(url, "password", password)
	}}
	redis = kind{connurl.ParseRedis, func(url jobs.Secret, password, sentinels string) jobs.Secret {
		if password+sentinels == "" {
			return url
		}
		l := connurl.LoginOf(url)
		if password != "" {
			l.Password = password
		}
		if sentinels != "" {
			l.SentinelPassword = sentinels
		}
		return connurl.WithLogin(url, l)
	}}
)

// FileError is what is wrong with one file of an endpoint.
type FileError struct {
	Field, Path string
	Err         error
}

// Error names field and file.
func (e *FileError) Error() string { return fmt.Sprintf("%s %s %v", e.Field, e.Path, e.Err) }

// Unwrap returns what is wrong.
func (e *FileError) Unwrap() error { return e.Err }

// read puts the files of an endpoint together.
func read(e jobs.Endpoint, k kind) (jobs.Secret, error) {
	url := e.URL
	if e.URLFile != "" {
		text, err := ReadSecret(e.URLFile)
		if err == nil {
			url, err = k.parse(strings.TrimSpace(text))
		}
		if err != nil {
			return jobs.Secret{}, &FileError{e.Name("url_file"), e.URLFile, err}
		}
	}
	password, err := readPassword(e.Name("password_file"), e.PasswordFile)
	if err != nil {
		return jobs.Secret{}, err
	}
	sentinels, err := readPassword(e.Name("sentinel_password_file"), e.SentinelPasswordFile)
	if err != nil {
		return jobs.Secret{}, err
	}
	return k.merge(url, password, sentinels), nil
}

func readPassword(field, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := ReadSecret(path)
	if err == nil && strings.Contains(text, "://") {
		err = wrong("holds a URL", "write the password alone into it; the field of a file with a URL is url_file")
	}
	if err != nil {
		return "", &FileError{field, path, err}
	}
	return text, nil
}

// Login knows what the connections of one client log in with: the URL of the spec, or what its files hold when a
// connection is made. It is safe for concurrent use.
type Login struct {
	endpoint jobs.Endpoint
	kind     kind

	mu       sync.Mutex
	good     jobs.Secret // what the files held when they could last be read
	proven   jobs.Secret // what a server has last taken
	refused  jobs.Secret // what it has not, until patience ended
	turn     bool        // the next connection tries what was proven, not what the files hold
	troubled bool        // the files cannot be read, and it has been said
}

// NewPostgres returns the logins of a Postgres.
func NewPostgres(e jobs.Endpoint) *Login { return &Login{endpoint: e, kind: postgres, good: e.URL} }

// NewRedis returns the logins of a Redis.
func NewRedis(e jobs.Endpoint) *Login { return &Login{endpoint: e, kind: redis, good: e.URL} }

// Next returns the connection string for a new connection. Files that cannot be read, as for the moment in which a
// secret is replaced, leave what they held before.
func (l *Login) Next() jobs.Secret {
	if !l.endpoint.Reads() {
		return l.endpoint.URL
	}
	now, err := read(l.endpoint, l.kind)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil && !l.troubled:
		Logger().Warn("a secret cannot be read again: connections are made with what it was before", jobs.LogErr, err)
	case err == nil && l.troubled:
		Logger().Info("the secret can be read again", "field", l.endpoint.Field)
	}
	if l.troubled = err != nil; !l.troubled {
		l.good = now
	}
	if l.turn && !l.proven.IsZero() {
		return l.proven
	}
	return l.good
}

// Proved says that a server has taken a connection string.
func (l *Login) Proved(url jobs.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proven, l.refused, l.turn = url, jobs.Secret{}, false
}

// How long a login is tried again that the server refuses, and how often.
const (
	patience = 3 * time.Second
	pause    = 100 * time.Millisecond
)

// Retry calls connect, which is to log in with Next, until the server does not refuse its password. In the moment in
// which a password is changed, file and server may differ: the one from before is tried as well, and the file is read
// again. Only secrets in files have that; and a password that was refused for as long as patience lasts is not tried
// again for so long.
func (l *Login) Retry(ctx context.Context, refused func(error) bool, connect func() error) error {
	err := connect()
	if err == nil || !l.endpoint.Reads() || !refused(err) {
		return err
	}
	for end := time.Now().Add(patience); l.again(end); {
		select {
		case <-ctx.Done():
			return l.Explain(err)
		case <-time.After(pause):
		}
		if err = connect(); err == nil || !refused(err) {
			return err
		}
	}
	return l.Explain(err)
}

// again reports whether to try another time.
func (l *Login) again(end time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.good == l.refused {
		return false
	}
	if time.Now().After(end) {
		l.refused, l.turn = l.good, false
		return false
	}
	l.turn = !l.turn
	return true
}

// Explain adds to the refusal of a password where it was read.
func (l *Login) Explain(err error) error {
	var list []string
	files := map[string]string{"url_file": l.endpoint.URLFile, "password_file": l.endpoint.PasswordFile}
	for field, path := range files {
		if path != "" {
			list = append(list, l.endpoint.Name(field)+" "+path)
		}
	}
	if len(list) == 2 { // the password is not the URL's
		list = []string{l.endpoint.Name("password_file") + " " + l.endpoint.PasswordFile}
	}
	if len(list) == 0 || err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w (the password was read from %s)", err, list[0])
}
