package specfile

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
	"github.com/stokerhq/stoker/jobs/specfile/spelling"
)

func parseName(s string) (string, error) {
	if !jobs.IsName(s) {
		return "", wrong("is not a name", "use a-z, 0-9 and -, and begin with a letter or digit")
	}
	return s, nil
}

// parseQuery takes off what psql wants at the end and a subquery does not.
func parseQuery(s string) (string, error) {
	query := trimQuery(s)
	if query == "" {
		return "", wrong("is empty", "write a SELECT")
	}
	return query, nil
}

// parseKeysQuery reads the query of a watch that finds keys.
func parseKeysQuery(s string) (string, error) {
	query, err := parseQuery(s)
	if err == nil && !slices.Contains(slices.Collect(tokens(query)), "$1") {
		return "", wrong("does not use $1", "$1 is the array of the changed rows' values, as in WHERE supplier_id "+
			"= ANY($1)")
	}
	return query, err
}

func oneOf(s string, allowed []string) (string, error) {
	if slices.Contains(allowed, s) {
		return s, nil
	}
	hint := ""
	if best := spelling.Nearest(s, allowed); best != "" {
		hint = `did you mean "` + best + `"?`
	}
	return "", wrong("is not one of "+strings.Join(allowed, ", "), hint)
}

// parseWhole reads a whole number of a field's range.
func parseWhole(s string, f field.Field, hint string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, wrong("is not a whole number", "write it as in "+f.Name+": "+cmp.Or(f.Example, f.Default))
	case n < f.Type.Min || n > f.Type.Max:
		return 0, wrong(fmt.Sprintf("is outside %d to %d", f.Type.Min, f.Type.Max), hint)
	}
	return n, nil
}

// defaultFormat refuses text in the defaults, since most kinds of value cannot be written in it.
func defaultFormat(d *decoder, dst *jobs.Format) field.Setter {
	return func(f field.Field, n *yaml.Node) {
		single(d, dst, func(s string) (jobs.Format, error) {
			if jobs.Format(s) == jobs.FormatText {
				return "", wrong("is for value: scalar, and no default", "write it in the jobs with value: scalar")
			}
			v, err := oneOf(s, f.Type.Values)
			return jobs.Format(v), err
		})(f, n)
	}
}

func parseZone(s string) (*time.Location, error) {
	loc, err := time.LoadLocation(s)
	if err != nil || s == "Local" { // Local is another zone on another machine
		return nil, wrong("is not a known time zone", "use an IANA name such as Europe/Berlin, or UTC")
	}
	return loc, nil
}

// parseToken reads the token of the admin pages, which must fit in a header and in
// a form.
func parseToken(s string) (jobs.Secret, error) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return jobs.Secret{}, wrong("holds a line break or another control character", "write it in one line")
	}
	return jobs.NewSecret(s), nil
}

func parseListen(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", wrong("is not host:port", "write an address such as 127.0.0.1:8080")
	}
	return s, nil
}

// parseBasePath reads the path of an ingress, and takes the slash off its end.
func parseBasePath(s string) (string, error) {
	const hint = "write the path that the ingress shows, such as /stoker"
	if strings.Contains(s, "://") {
		return "", wrong("is a URL and not a path", hint)
	}
	if !strings.HasPrefix(s, "/") {
		return "", wrong("does not begin with a slash", hint)
	}
	base := strings.TrimSuffix(s, "/")
	if base == "" {
		return "", nil
	}
	parts := strings.Split(base[1:], "/")
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || strings.Trim(part, pathCharacters) != "" {
			return "", wrong("is not a plain path", hint+": letters, digits, and . _ ~ - between slashes")
		}
	}
	if slices.Contains(field.OwnPaths, parts[0]) {
		return "", wrong("begins as a path of Stoker's own does", "put another part in front, such as /stoker"+base)
	}
	return base, nil
}

// pathCharacters need no encoding in a URL, and mean nothing in a pattern of routes.
const pathCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"

// isLocal reports whether only this machine reaches a listen address.
func isLocal(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && jobs.IsLoopback(host)
}

// parseRole refuses what SET ROLE takes for no role at all.
func parseRole(s string) (string, error) {
	if strings.EqualFold(s, "none") || strings.ContainsRune(s, 0) {
		return "", wrong("names no role", "name a role of the database, or remove the field: the query runs as the "+
			"role of postgres.url")
	}
	return s, nil
}
