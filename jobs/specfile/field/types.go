package field

import (
	"regexp"
	"strings"
)

var re = regexp.MustCompile

// The parts of patterns.
const (
	decimal = `([0-9]+(\.[0-9]*)?|\.[0-9]+)`
	unit    = decimal + `(ns|us|µs|μs|ms|s|m|h)`
	days    = decimal + `d((` + unit + `)+|0)?`

	blank    = `[ \t\r\n\v\f]`
	word     = `[^ \t\r\n\v\f]+`
	anything = `[\s\S]`
	notBlank = "[^\\x00 \\t\\r\\n\\v\\f\u0085\u00a0\u200b\ufeff]"

	tablePart = `("([^"]|"")+"|[^ \t\r\n\v\f".][^ \t\r\n\v\f.]*)`
	// afterJunk is where a URL begins behind what is taken off secrets.
	afterJunk = `^[^A-Za-z]*`
)

// OwnPaths are the first parts of paths that the admin listener answers itself. Below a base path that begins so,
// it could not tell whether an ingress has taken the base path off.
var OwnPaths = []string{"api", "jobs", "livez", "login", "logout", "metrics", "queues", "readyz", "static", "warmz"}

// The types of amounts. Sums of units and bounds of them are the parser's.
var (
	Duration = Type{Words: "a duration, as in 30s, 5m, 2h or 1d",
		Pattern: re(`^(\+?(` + unit + `)+|` + days + `)$`), Never: re(`^[^1-9$]*$`)}
	Grace = Type{Words: "a duration, as in 30s or 5m, or 0", Zero: true,
		Pattern: re(`^([+-]?(` + unit + `)+|-?` + days + `|[+-]?0)$`), Never: re(`^-[^$]*[1-9]`)}
	Share = Type{Words: "a percentage from 0% to 100%, as in 10%", Zero: true,
		Pattern: re(`^\+?0*(100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?|\.[0-9]+)[ \t]*%$|^0+(\.0*)?$`)}
	Headroom = Type{Words: "a percentage from 0% to 90%, as in 10%", Zero: true,
		Pattern: re(`^\+?0*(90(\.0*)?|[1-8]?[0-9](\.[0-9]*)?|\.[0-9]+)[ \t]*%$|^0+(\.0*)?$`)}
	BudgetShare = Type{Words: "a percentage from 1% to 100%, as in 25%, or none",
		Pattern: re(`^(none|\+?0*(100(\.0*)?|[1-9][0-9]?(\.[0-9]*)?)[ \t]*%)$`)}
	Ratio = Type{Words: "a percentage above 0% and below 100%, as in 99.9%",
		Pattern: re(`^\+?0*([0-9]{1,2}(\.[0-9]{0,6})?|\.[0-9]{1,6})[ \t]*%$`), Never: re(`^[^1-9$]*$`)}
	ObjectiveAge = Type{Words: "a duration of 5s or more in one unit, as in 60s, 5m or 2h",
		Pattern: re(`^(([5-9]|[1-9][0-9]{1,4})s|[1-9][0-9]{0,4}[mhd])$`)}
	Window = Type{Words: "a number of days from 1d to 90d, as in 30d", Pattern: re(`^([1-9]|[1-8][0-9]|90)d$`)}
	Size   = Type{Words: "a size, as in 1048576, 64KiB, 16MiB or 1GiB", Min: 1,
		Pattern: re(`^\+?0*[1-9][0-9]*[ \t]*(([kKmMgG][iI]?)?[bB])?$`)}
	Rate = Type{Words: "a rate, as in 50/s, 600/m or 1000/h, or 0", Zero: true,
		Pattern: re(`^\+?` + decimal + blank + `*/` + blank + `*[smh]` + blank + `*$|^0$`)}
)

// The types of addresses and secrets.
var (
	PostgresURL = Type{Secret: true,
		Words:   "a URL, as in postgres://user:password@host:5432/database, or host=... dbname=...",
		Pattern: re(afterJunk + `(` + anyCase("postgres(ql)?") + `://|[A-Za-z][A-Za-z0-9_]*` + blank + `*=)`)}
	RedisURL = Type{Secret: true,
		Words:   "a URL, as in redis://user:password@host:6379/0, rediss:// with TLS, or unix:///path",
		Pattern: re(afterJunk + `(rediss?|unix)://`)}
	WebURL = Type{Words: "a URL, as in https://host/path", Secret: true,
		Pattern: re(afterJunk + anyCase("https?") + `://[^/?#]`)}
	Token = Type{Words: "a text in one line", Secret: true,
		Never: re(`[!-~][\x00-\x1f\x7f]+[!-#%-~]`)}
	SigningSecret = Type{Words: "whsec_ with base64, or any text of 16 characters or more", Secret: true,
		Pattern: re(`whsec_` + anything + `|` + notBlank + anything + `{14}` + notBlank)}
	Listen = Type{Words: "host:port, as in 127.0.0.1:8080",
		Pattern: re(`^([^\[\]:]*|\[[^\[\]]*\]):` +
			`([0-9]{1,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$`)}
	Path = Type{Words: "a path, as in /stoker",
		Pattern: re(`^/$|^(/[A-Za-z0-9._~-]+)+/?$`),
		Never:   re(`^/(` + strings.Join(OwnPaths, "|") + `)(/|$)|/\.\.?(/|$)`)}
)

// The types of names and queries.
var (
	Boolean  = OneOf("true", "false")
	Name     = Type{Words: "a name of a-z, 0-9 and -", Pattern: re(`^[a-z0-9][a-z0-9-]*$`)}
	FeedName = Type{Words: "1 to 54 of a-z, 0-9 and _, not a digit first", Pattern: re(`^[a-z_][a-z0-9_]{0,53}$`)}
	// Namespace leaves room for what Postgres' names have besides, and is never taken for a key's kind.
	Namespace = Type{Words: "1 to 32 of a-z, 0-9, - and _, a letter or digit first",
		Pattern: re(`^[a-z0-9][a-z0-9_-]{0,31}$`)}
	Key = Type{Words: `a text in quotes, as in "product:{id}"`,
		Pattern: re(`^([^{}\x00-\x1f\x7f]|\{\{|\}\}|\{[^{}\x00-\x1f\x7f]+\})+$`), Never: re(`^(#|stoker:|asynq:)`)}
	Query     = Type{Words: "a SELECT", Pattern: re(`[^ \t\r\n\f\v;]`)}
	KeysQuery = Type{Words: "a SELECT that uses $1, as in SELECT id FROM product WHERE supplier_id = ANY($1)",
		Pattern: re(`\$1`)}
	File    = Type{Words: "the name of a file beside the spec or below", Never: re(`^(/|\.\.(/|$))`)}
	AnyFile = Type{Words: "the path of a file, absolute or from the spec's folder", Never: re(`^~|://|-----BEGIN`)}
	Host    = Type{Words: "the name of a host, or its address", Never: re(`[/@ ]`)}
	Zone    = Type{Words: "an IANA name, as in Europe/Berlin, or UTC", Pattern: re(`^[A-Za-z0-9_+/-]+$`),
		Never: re(`^Local$`)}
	Cron = Type{Words: `5 or 6 cron fields in quotes, as in "*/5 * * * *", or "@every 30s", @hourly, @daily`,
		Pattern: cron}
	Table = Type{Words: `the name of a table, as in product, shop.product or '"Orders"'`,
		Pattern: re(`^` + tablePart + `(` + blank + `*\.` + blank + `*` + tablePart + `){0,2}$`)}
	Column = Type{Words: "the name of a column, without quotes",
		Pattern: re(`^[^ \t\r\n\v\f](` + anything + `*[^ \t\r\n\v\f])?$`)}
	Role = Type{Words: "the name of a role", Never: re(`^` + anyCase("none") + `$`)}
)

// The types of what is not a single value.
var (
	Section  = Type{Form: Mapping, Words: "a mapping"}
	Sections = Type{Form: List, Words: "a list of mappings"}
	Columns  = Type{Form: Pairs, Items: &Column, NotEmpty: true,
		Words: "a mapping from each column of the key to a column of the table"}
)
