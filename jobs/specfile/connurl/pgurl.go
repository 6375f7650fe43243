package connurl

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

const (
	pgHint = "write postgres://user:password@host:5432/database, or host=... dbname=..."
	// pgEncode is about the characters that end a part of a URL.
	pgEncode = "percent-encode the special characters of user and password: @ is %40, : %3A, / %2F, ? %3F, # %23, % %25"
)

// connString is a connection string, taken apart by libpq's rules.
type connString struct {
	head    string // of a URL: all before the parameters
	isURL   bool
	params  []pgParam
	changed bool // it is not as it was written
}

// pgParam is one parameter of a connection string, decoded.
type pgParam struct{ name, value string }

// ParsePostgres reads a connection string as libpq and pgx do. What another
// library writes is named, with what to write instead; what libpq knows and the
// driver does not is translated. No error holds the text.
func ParsePostgres(s string) (jobs.Secret, error) {
	c, err := splitConnString(s)
	if err == nil {
		err = c.translate()
	}
	if err != nil {
		return jobs.Secret{}, err
	}
	if !c.changed {
		return jobs.NewSecret(s), nil
	}
	return jobs.NewSecret(c.String()), nil
}

// Parameter returns the last value of a parameter of a connection string.
func Parameter(s jobs.Secret, name string) (value string, given bool) {
	c, err := splitConnString(s.Reveal())
	if err != nil {
		return "", false
	}
	return c.get(name)
}

func splitConnString(s string) (*connString, error) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return splitURL(scheme, rest)
	case found && strings.HasPrefix(strings.ToLower(scheme), "postgres") && strings.EqualFold(scheme, "postgres"),
		found && strings.EqualFold(scheme, "postgresql"): // schemes are case-insensitive; the driver's reading is not
		c, err := splitURL(strings.ToLower(scheme), rest)
		if c != nil {
			c.changed = true
		}
		return c, err
	}
	if err := otherForm(s); err != nil {
		return nil, err
	}
	return splitKeywords(s)
}

// splitURL takes the part of a URL after its scheme apart, as libpq does: the
// first @ before a / ends user and password, whatever else they hold.
func splitURL(scheme, rest string) (*connString, error) {
	if strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, wrong("is a Postgres URL with a blank or a line break in it", "remove it, or write %20 for a blank")
	}
	place := rest
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		place = rest[i+1:]
	}
	place, query, _ := strings.Cut(place, "?")
	if strings.Contains(place, "@") {
		return nil, wrong("is a malformed Postgres URL: there is another @ behind user and password", pgEncode)
	}
	hosts, _, _ := strings.Cut(place, "/")
	if err := checkPorts(hosts); err != nil {
		return nil, err
	}
	c := &connString{isURL: true, head: scheme + "://" + strings.TrimSuffix(rest, "?")}
	if query != "" {
		c.head = strings.TrimSuffix(c.head, "?"+query)
	}
	if _, err := url.PathUnescape(c.head); err != nil {
		return nil, wrong("is a malformed Postgres URL: a % stands before no two hexadecimal digits", pgEncode)
	}
	return c, c.splitQuery(query)
}

// checkPorts: a port that is none is, most often, the rest of a password.
func checkPorts(hosts string) error {
	for host := range strings.SplitSeq(hosts, ",") {
		if end := strings.LastIndexByte(host, ']'); strings.HasPrefix(host, "[") && end > 0 {
			host = host[end:]
		}
		_, port, has := strings.Cut(host, ":")
		if n, err := strconv.Atoi(port); has && port != "" && (err != nil || n < 1 || n > 65535) {
			return wrong("is a malformed Postgres URL: its port is not a number from 1 to 65535", pgEncode+
				"; an IPv6 address stands in [ ]")
		}
	}
	return nil
}

func (c *connString) splitQuery(query string) error {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" { // "?a=b&"
			c.changed = c.changed || query != ""
			continue
		}
		rawName, rawValue, has := strings.Cut(pair, "=")
		name, err1 := url.PathUnescape(rawName)
		value, err2 := url.PathUnescape(rawValue)
		switch {
		case strings.HasPrefix(name, "amp;"):
			return wrong("has &amp; between its parameters, which is HTML", "write & alone")
		case !has || err1 != nil || err2 != nil:
			return wrong("has a parameter that is not name=value", "write them as in ?sslmode=require&user=app; % is "+
				"%25, & is %26")
		case name == "options" && strings.Contains(rawValue, "+"): // as a form's encoding writes a blank
			value, c.changed = strings.ReplaceAll(value, "+", " "), true
		case strings.Contains(rawValue, "="): // libpq wants it encoded
			c.changed = true
		}
		c.params = append(c.params, pgParam{name, value})
	}
	return nil
}

// splitKeywords reads "host=db dbname=shop password='a b'".
func splitKeywords(s string) (*connString, error) {
	c := &connString{}
	for rest := strings.TrimSpace(s); rest != ""; rest = strings.TrimSpace(rest) {
		name, after, found := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !found || !isPlainWord(name) {
			return nil, wrong("is not a Postgres URL", pgHint)
		}
		var value string
		var ok bool
		if value, rest, ok = keywordValue(strings.TrimSpace(after)); !ok {
			return nil, wrong("has a quote that is not closed", `write \' for a quote in a value`)
		}
		c.params = append(c.params, pgParam{name, value})
	}
	if len(c.params) == 0 {
		return nil, wrong("is not a Postgres URL", pgHint)
	}
	return c, nil
}

// keywordValue returns the value that s begins with, and what follows it.
func keywordValue(s string) (value, rest string, ok bool) {
	var b strings.Builder
	quoted := strings.HasPrefix(s, "'")
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case quoted && s[i] == '\'':
			return b.String(), s[i+1:], true
		case !quoted && strings.IndexByte(" \t\r\n\v\f", s[i]) >= 0:
			return b.String(), s[i:], true
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", !quoted
}

var plainWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

func isPlainWord(s string) bool { return plainWord.MatchString(s) }

// get returns the last value of a parameter: it is the one that counts.
func (c *connString) get(name string) (value string, given bool) {
	for _, p := range c.params {
		if p.name == name {
			value, given = p.value, true
		}
	}
	return value, given
}

// String puts the connection string together again.
func (c *connString) String() string {
	parts := make([]string, len(c.params))
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	encode := strings.NewReplacer("=", "%3D", "&", "%26") // which PathEscape leaves
	for i, p := range c.params {
		parts[i] = p.name + "='" + quote.Replace(p.value) + "'"
		if c.isURL {
			parts[i] = encode.Replace(url.PathEscape(p.name)) + "=" + encode.Replace(url.PathEscape(p.value))
		}
	}
	switch {
	case !c.isURL:
		return strings.Join(parts, " ")
	case len(parts) == 0:
		return c.head
	}
	return c.head + "?" + strings.Join(parts, "&")
}
