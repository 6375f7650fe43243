package connurl

import (
	"net/url"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// HasPassword reports whether a Postgres connection string has a password.
func HasPassword(s jobs.Secret) bool {
	c, err := splitConnString(s.Reveal())
	if err != nil {
		return false
	}
	_, given := c.get("password")
	return given || c.isURL && strings.Contains(c.userinfo(), ":")
}

// SaysTLS reports whether a Postgres connection string has a parameter of TLS.
func SaysTLS(s jobs.Secret) bool {
	c, err := splitConnString(s.Reveal())
	if err != nil {
		return false
	}
	for _, p := range c.params {
		if strings.HasPrefix(p.name, "ssl") {
			return true
		}
	}
	return false
}

// userinfo is what stands before the @ of a URL.
func (c *connString) userinfo() string {
	_, rest, _ := strings.Cut(c.head, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		return rest[:i]
	}
	return ""
}

// WithParameter returns a Postgres connection string in which a parameter has the value, in place of what it had
// before. A password in a URL's own place is outdone by the parameter.
func WithParameter(s jobs.Secret, name, value string) jobs.Secret {
	c, err := splitConnString(s.Reveal())
	if err != nil {
		return s // it was read before: it parses
	}
	kept := make([]pgParam, 0, len(c.params)+1)
	for _, p := range c.params {
		if p.name != name {
			kept = append(kept, p)
		}
	}
	c.params = append(kept, pgParam{name, value})
	return jobs.NewSecret(c.String())
}

// RedisLogin is what a Redis URL logs in with. Of a Sentinel's URL, what stands before the @ is for the Sentinels.
type RedisLogin struct {
	User, Password                 string
	SentinelUser, SentinelPassword string
	Sentinel                       bool // it is a Sentinel's URL
}

// LoginOf returns what a Redis URL logs in with.
func LoginOf(s jobs.Secret) (l RedisLogin) {
	u, err := url.Parse(s.Reveal())
	if err != nil {
		return l
	}
	user := u.User.Username()
	password, _ := u.User.Password()
	q := u.Query()
	if l.Sentinel = q.Has("master_name"); !l.Sentinel {
		l.User, l.Password = user, password
		return l
	}
	l.SentinelUser, l.SentinelPassword = user, password
	l.User, l.Password = q.Get("username"), q.Get("password")
	return l
}

// WithLogin returns a Redis URL that logs in with l.
func WithLogin(s jobs.Secret, l RedisLogin) jobs.Secret {
	u, err := url.Parse(s.Reveal())
	if err != nil {
		return s // it was read before: it parses
	}
	user, password := l.User, l.Password
	if q := u.Query(); l.Sentinel {
		user, password = l.SentinelUser, l.SentinelPassword
		for name, value := range map[string]string{"username": l.User, "password": l.Password} {
			q.Del(name)
			if value != "" {
				q.Set(name, value)
			}
		}
		u.RawQuery = q.Encode()
	}
	switch {
	case password != "":
		u.User = url.UserPassword(user, password)
	case user != "":
		u.User = url.User(user)
	default:
		u.User = nil
	}
	return jobs.NewSecret(u.String())
}
