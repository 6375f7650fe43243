package connurl

import (
	"regexp"
	"strings"
)

// otherForm names the way another tool writes the address of a Postgres, or nil
// if it could be keywords and values. No error holds more of the text than a word
// that is known.
func otherForm(s string) error {
	if err := notFilledIn(s); err != nil {
		return err
	}
	lower := strings.ToLower(s)
	scheme, rest, isURL := strings.Cut(lower, "://")
	base, driver, hasDriver := strings.Cut(scheme, "+")
	switch {
	case strings.HasPrefix(lower, "psql "):
		return wrong("is a command line of psql", "keep the URL in it alone: postgresql://...")
	case strings.HasPrefix(scheme, "jdbc:"), strings.HasPrefix(scheme, "r2dbc:"),
		strings.HasPrefix(scheme, "vertx-reactive:"):
		return wrong("is a URL of Java", "write postgresql:// in place of jdbc:postgresql://, and user and password "+
			"before the host: postgresql://user:password@host:5432/database")
	case strings.HasPrefix(lower, "pgsql:") && !isURL:
		return wrong("is a DSN of PHP", pgHint)
	case isURL && hasDriver && (base == "postgres" || base == "postgresql") && isPlainWord(driver):
		return wrong("names +"+driver+", the driver of another library", "remove it: write postgresql://")
	case isURL && base == "prisma", isURL && hasDriver && base == "prisma":
		return wrong("is the URL of a proxy of Prisma's", "write the URL of the database itself: postgresql://...")
	case isURL && postgresLike[scheme]:
		return wrong("begins with "+scheme+"://, another library's word for Postgres", "write postgresql://")
	case isURL && otherDatabases[base]:
		return wrong("is the URL of another database, "+base, "Stoker reads Postgres: "+pgHint)
	case isURL && rest != "":
		return wrong("is not a Postgres URL", pgHint)
	case strings.HasPrefix(lower, "postgres:"), strings.HasPrefix(lower, "postgresql:"), strings.HasPrefix(lower, "//"):
		return wrong("is not a Postgres URL: :// does not follow its scheme", pgHint)
	case dotNet.MatchString(s):
		return wrong("is a connection string of .NET, with semicolons", "write host=... port=5432 dbname=... user=... "+
			"password=..., with blanks in between")
	}
	return nil
}

// dotNet matches "Host=db;Username=app".
var dotNet = regexp.MustCompile(`(?i)^\s*(host|server|data source|user id|username|user|database|initial catalog|port)\s*=[^;=]*;`)

var postgresLike = words("psql pgsql pg postgis ecto cockroach cockroachdb postgre timescaledb redshift")

var otherDatabases = words("mysql mariadb sqlite sqlite3 mongodb sqlserver mssql oracle redis rediss http https " +
	"clickhouse cassandra file")

func words(s string) map[string]bool {
	set := make(map[string]bool)
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// Texts that something else should have replaced before the value came here.
var (
	shellVariable = regexp.MustCompile(`^\$\(?[A-Za-z_][A-Za-z0-9_]*\)?$|^%[A-Za-z_][A-Za-z0-9_]*%$`)
	assignment    = regexp.MustCompile(`^(export\s+)?[A-Z][A-Z0-9_]*=\s*["']?[a-z0-9+]+://`)
)

// notFilledIn names what is wrong with a URL before it is one: quotes that an
// env file keeps, the name of the variable, a reference that nothing replaced.
func notFilledIn(s string) error {
	switch {
	case strings.HasPrefix(s, `"`), strings.HasPrefix(s, `'`), strings.HasPrefix(s, "`"):
		return wrong("begins with a quote", "remove the quotes: Docker's env files take them as part of the value")
	case NamesVariable(s):
		return wrong("is the name of a variable, not its value", "write ${NAME}: the braces are needed")
	case strings.HasPrefix(s, "{{"):
		return wrong("is a template that nothing has filled in", "write ${NAME} for an environment variable")
	case assignment.MatchString(s):
		return wrong("begins with the name of a variable", "keep the URL behind the = alone")
	}
	return nil
}

// NamesVariable reports whether s is the name of a variable as a shell would replace it: $NAME, $(NAME), %NAME%.
func NamesVariable(s string) bool { return shellVariable.MatchString(s) }
