package jobs

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"unique"
)

// hidden is what a secret prints as.
const hidden = "[secret]"

// Secret is a string that cannot print itself: every way to format, log or
// marshal it gives "[secret]", and "" when it is empty. Secrets compare with ==.
type Secret struct {
	// A handle, not a string: fmt calls no method of an unexported field, so a
	// string would be printed by %v of any struct that holds a Secret in one.
	h unique.Handle[string]
}

// NewSecret hides v.
func NewSecret(v string) Secret {
	if v == "" {
		return Secret{}
	}
	return Secret{unique.Make(v)}
}

// Reveal returns the string itself. It is the only way to get at it.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.h.Value()
}

// IsZero reports whether the secret is the empty string.
func (s Secret) IsZero() bool { return s == Secret{} }

// Equal is ==. It lets comparing packages look no deeper.
func (s Secret) Equal(other Secret) bool { return s == other }

// String returns "[secret]", or "" when s is empty.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return hidden
}

// GoString keeps %#v from printing the secret.
func (s Secret) GoString() string { return s.String() }

// Format keeps every verb, also the numeric ones, from printing the secret.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue keeps slog from printing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON returns the JSON string of String.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML returns String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Redacted returns a URL without what must stay hidden: the password becomes
// ***, and query parameters that may hold one are dropped. What is not a URL
// gives "[secret]".
func (s Secret) Redacted() string {
	if s.IsZero() {
		return ""
	}
	if scheme, rest, _ := strings.Cut(s.Reveal(), "://"); scheme == "postgres" || scheme == "postgresql" {
		return redactedPostgres(scheme, rest)
	}
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Scheme == "" || u.Opaque != "" || u.Host == "" && u.Path == "" {
		return hidden
	}
	out := u.Scheme + "://" + redactedUser(u) + u.Host + u.EscapedPath()
	if q := redactedQuery(u.Query()); q != "" {
		out += "?" + q
	}
	return out
}

// redactedPostgres takes a URL apart as libpq and the driver do, for whom the
// first @ ends the password, whatever it holds; net/url reads "u:1#2@h" otherwise.
func redactedPostgres(scheme, rest string) string {
	user := ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		name, _, has := strings.Cut(rest[:i], ":")
		user, rest = name+"@", rest[i+1:]
		if has {
			user = name + ":***@"
		}
	}
	place, query, _ := strings.Cut(rest, "?")
	parsed, err := url.ParseQuery(query)
	if err != nil || strings.Contains(place, "@") { // a / in a password
		return hidden
	}
	out := scheme + "://" + user + place
	if q := redactedQuery(parsed); q != "" {
		out += "?" + q
	}
	return out
}

// redactedUser hides all that stands before the @: a Redis URL with one part there
// is as likely to hold the password in it as a user.
func redactedUser(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	if _, has := u.User.Password(); has {
		return url.User(u.User.Username()).String() + ":***@"
	}
	return "***@"
}

func redactedQuery(q url.Values) string {
	for name := range q {
		lower := strings.ToLower(name)
		for _, word := range []string{"pass", "pwd", "secret", "token"} {
			if strings.Contains(lower, word) {
				q.Del(name)
			}
		}
	}
	return q.Encode()
}
