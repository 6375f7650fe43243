package specfile

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// fileFields are those that name the files of a server's secrets, which are read again at each new connection.
func (d *decoder) fileFields(prefix, what string, a *jobs.Access) []field.Field {
	return []field.Field{
		{Name: prefix + "url_file", Type: field.AnyFile, Example: "/run/secrets/" + prefix + "url",
			Doc: "A file that has the URL of " + what + ", in place of " + prefix + "url; it is read again at each " +
				"new connection.",
			Set: single(d, &a.URLFile, d.path)},
		{Name: prefix + "password_file", Type: field.AnyFile,
			Example: "/run/secrets/" + prefix + "password",
			Doc: "A file that has the password of " + what + ", which the URL then leaves out; it is read again " +
				"at each new connection.",
			Set: single(d, &a.PasswordFile, d.path)},
		d.tlsField(prefix+"tls", "The certificates of connections to "+what+".", &a.TLS),
	}
}

// sentinelFields are those of the Sentinels in front of a Redis.
func (d *decoder) sentinelFields(prefix string, a *jobs.Access) []field.Field {
	tls := d.tlsField(prefix+"sentinel_tls", "The certificates of connections to the Sentinels, where they differ.",
		&a.SentinelTLS)
	tls.Fields = append(tls.Fields, field.Field{Name: "off", Type: field.Boolean,
		Doc: "The Sentinels do not speak TLS, although the Redis behind them does.",
		Set: boolean(d, &a.SentinelTLS.Off)})
	tls.Set = func(_ field.Field, n *yaml.Node) { d.fields(n, prefix+"sentinel_tls", tls.Fields) }
	return []field.Field{
		{Name: prefix + "sentinel_password_file", Type: field.AnyFile,
			Doc: "A file that has the password of the Sentinels; it is read again at each new connection.",
			Set: single(d, &a.SentinelPasswordFile, d.path)},
		tls,
	}
}

func (d *decoder) tlsField(name, doc string, t *jobs.TLS) field.Field {
	f := field.Field{Name: name, Type: field.Section, Doc: doc, Fields: []field.Field{
		{Name: "ca_file", Type: field.AnyFile, Default: "those of the system", InWords: true,
			Doc: "PEM certificates of the authorities that may have signed the server's certificate.",
			Set: single(d, &t.CAFile, d.path)},
		{Name: "cert_file", Type: field.AnyFile,
			Doc: "Stoker's own PEM certificate, for a server that asks for one, with those between it and " +
				"its authority.",
			Set: single(d, &t.CertFile, d.path)},
		{Name: "key_file", Type: field.AnyFile,
			Doc: "The PEM key of cert_file, without a password.",
			Set: single(d, &t.KeyFile, d.path)},
		{Name: "server_name", Type: field.Host, Default: "the host of the URL", InWords: true,
			Doc: "The name that the server's certificate must be for.",
			Set: single(d, &t.ServerName, parseServerName)},
	}}
	f.Set = func(_ field.Field, n *yaml.Node) { d.fields(n, name, f.Fields) }
	return f
}

// path is that of a file which is not part of the spec: relative to the spec's folder, or absolute.
func (d *decoder) path(s string) (string, error) {
	switch {
	case strings.HasPrefix(s, "~"):
		return "", wrong("begins with ~, which only a shell replaces", "write the path from / on")
	case strings.Contains(s, "://"):
		return "", wrong("is a URL, not the path of a file", "write the path, as in /run/secrets/name")
	case strings.Contains(s, "-----BEGIN"):
		return "", wrong("is PEM, not the path of a file", "save it as a file, and write its path")
	case filepath.IsAbs(s):
		return s, nil
	}
	return filepath.Join(filepath.Dir(d.file), s), nil
}

func parseServerName(s string) (string, error) {
	if strings.ContainsAny(s, "/@ ") {
		return "", wrong("is not the name of a host", "write the name alone, without scheme and port")
	}
	return s, nil
}

// server is one server of the spec, as it is put together from the fields of a section.
type server struct {
	section, prefix string // "redis", "queue_"
	url             *jobs.Secret
	access          *jobs.Access
	parse           func(string) (jobs.Secret, error)
	given           map[string]*yaml.Node
}

func (s server) name(own string) string { return s.prefix + own }

func (s server) node(own string) *yaml.Node { return s.given[s.name(own)] }

// complete reads the files of a server, once all of its fields are known.
func (d *decoder) complete(s server) {
	d.checkTLS(s, "tls", s.access.TLS)
	d.checkTLS(s, "sentinel_tls", s.access.SentinelTLS)
	before := len(d.problems)
	if s.node("url") != nil && s.node("url_file") != nil && s.access.URLFile != "" {
		d.problem(s.node("url_file"), "keep one of the two", "%s has both %s and %s", s.section, s.name("url"),
			s.name("url_file"))
		return
	}
	if s.access.URLFile != "" {
		*s.url = readSecret(d, s.node("url_file"), s.name("url_file"), s.access.URLFile, s.parse)
	}
	if s.url.IsZero() {
		return // it has its problem, or is not given
	}
	password := readSecret(d, s.node("password_file"), s.name("password_file"), s.access.PasswordFile, d.password)
	sentinels := readSecret(d, s.node("sentinel_password_file"), s.name("sentinel_password_file"),
		s.access.SentinelPasswordFile, d.password)
	if len(d.problems) > before {
		return
	}
	if s.section == "redis" {
		d.completeRedis(s, password, sentinels)
	} else {
		d.completePostgres(s, password)
	}
}

// readSecret reads a secret from a file that the field at n names; none if path is "".
func readSecret(d *decoder, n *yaml.Node, name, path string, parse func(string) (jobs.Secret, error)) jobs.Secret {
	if path == "" {
		return jobs.Secret{}
	}
	var secret jobs.Secret
	text, err := access.ReadSecret(path)
	if err == nil {
		secret, err = parse(text)
	}
	if err != nil {
		if m, is := errors.AsType[*jobs.Mistake](err); is && text != "" {
			m.Detail = "" // it may repeat the text
		}
		d.invalid(n, fmt.Sprintf("%s %q", name, n.Value), err)
		return jobs.Secret{}
	}
	if exposed := access.Exposed(path); exposed != "" {
		d.notes = append(d.notes, jobs.Problem{File: d.file, Line: n.Line, Col: n.Column,
			Message: fmt.Sprintf("%s %q %s", name, n.Value, exposed), Hint: "chmod 0400, or 0440 with Stoker's group"})
	}
	return secret
}

// secretFile sets dst from the file that a field names. It is read once, with the spec.
func secretFile(d *decoder, dst *jobs.Secret, parse func(string) (jobs.Secret, error)) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		var path string
		single(d, &path, d.path)(f, n)
		if secret := readSecret(d, n, f.Name, path, parse); !secret.IsZero() {
			*dst = secret
		}
	}
}

// oneOfTwo refuses a section that has two fields for one thing.
func (d *decoder) oneOfTwo(given map[string]*yaml.Node, section, one, two string) {
	if given[one] != nil && given[two] != nil {
		d.problem(given[two], "keep one of the two", "%s has both %s and %s", section, one, two)
	}
}

func (d *decoder) password(s string) (jobs.Secret, error) {
	if strings.Contains(s, "://") {
		return jobs.Secret{}, wrong("holds a URL, not a password", "name it as url_file")
	}
	return jobs.NewSecret(s), nil
}

func (d *decoder) completePostgres(s server, password jobs.Secret) {
	if !password.IsZero() {
		if connurl.HasPassword(*s.url) {
			d.problem(s.node("password_file"), "keep one of the two", "the URL has a password, and there is %s",
				s.name("password_file"))
			return
		}
		*s.url = connurl.WithParameter(*s.url, "password", password.Reveal())
	}
	if s.access.TLS.IsZero() {
		return
	}
	mode, given := connurl.Parameter(*s.url, "sslmode")
	if given && (mode == "disable" || mode == "allow" || mode == "prefer") {
		d.problem(s.node("tls"), "write sslmode=verify-full, or leave sslmode out: it is the same", "%s is given, and "+
			"the URL has sslmode=%s, which does not want it", s.name("tls"), mode)
	}
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if _, given := connurl.Parameter(*s.url, name); given {
			d.problem(s.node("tls"), "keep one of the two; only what tls names is read again", "%s is given, and the "+
				"URL has %s", s.name("tls"), name)
		}
	}
}

func (d *decoder) completeRedis(s server, password, sentinels jobs.Secret) {
	l := connurl.LoginOf(*s.url)
	both := func(name, inURL string, secret jobs.Secret) {
		if inURL != "" && !secret.IsZero() {
			d.problem(s.node(name), "keep one of the two", "the URL has this password, and there is %s", s.name(name))
		}
	}
	both("password_file", l.Password, password)
	both("sentinel_password_file", l.SentinelPassword, sentinels)
	for _, name := range []string{"sentinel_password_file", "sentinel_tls"} {
		if at := s.node(name); at != nil && !l.Sentinel {
			d.problem(at, "remove it, or write the URL of Sentinels: redis://host:26379/0?master_name=NAME",
				"%s is given, and the URL names no Sentinels", s.name(name))
		}
	}
	if password != (jobs.Secret{}) {
		l.Password = password.Reveal()
	}
	if sentinels != (jobs.Secret{}) {
		l.SentinelPassword = sentinels.Reveal()
	}
	if !password.IsZero() || !sentinels.IsZero() {
		*s.url = connurl.WithLogin(*s.url, l)
	}
	u, err := url.Parse(s.url.Reveal())
	if err != nil || s.access.TLS.IsZero() || s.node("tls") == nil {
		return // tls of the cache holds for the queue where the queue speaks TLS
	}
	if u.Scheme != "rediss" {
		d.problem(s.node("tls"), "write rediss:// in place of "+u.Scheme+"://, or remove it",
			"%s is given, and the URL is one without TLS", s.name("tls"))
	}
	if u.Query().Has("skip_verify") {
		d.problem(s.node("tls"), "keep one of the two", "%s is given, and the URL has skip_verify", s.name("tls"))
	}
}

// checkTLS reads the certificates as a connection will.
func (d *decoder) checkTLS(s server, name string, t jobs.TLS) {
	n := s.node(name)
	if n == nil || t.IsZero() {
		return
	}
	given := map[string]*yaml.Node{}
	pairs, _ := d.pairs(n, s.name(name))
	for _, p := range pairs {
		given[p.name] = p.value
	}
	switch {
	case t.Off && len(pairs) > 1:
		d.problem(given["off"], "keep off alone, or remove it", "%s is off, and has other fields", s.name(name))
		return
	case t.CertFile != "" && t.KeyFile == "":
		d.problem(n, "add key_file", "%s has a cert_file and no key_file", s.name(name))
		return
	case t.KeyFile != "" && t.CertFile == "":
		d.problem(n, "add cert_file", "%s has a key_file and no cert_file", s.name(name))
		return
	}
	err := access.CheckCerts(s.name(name), t)
	wrongFile, is := errors.AsType[*access.FileError](err)
	if !is {
		return
	}
	file := wrongFile.Field[strings.LastIndexByte(wrongFile.Field, '.')+1:]
	if at := given[file]; at != nil {
		d.invalid(at, fmt.Sprintf("%s %q", file, at.Value), wrongFile.Err)
	}
}
