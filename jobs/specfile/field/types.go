package field

// The types of single values. What each takes beyond its pattern its parser says.
var (
	Anything = Type{Words: "a text"}
	Boolean  = OneOf("true", "false")

	Duration = Type{Words: "a duration, as in 30s, 5m, 2h or 1d"}
	Grace    = Type{Words: "a duration, as in 30s or 5m, or 0", Zero: true}
	Share    = Type{Words: "a percentage, as in 10%, or 0", Zero: true}
	Size     = Type{Words: "a size, as in 1048576, 64KiB, 16MiB or 1GiB"}
	Rate     = Type{Words: "a rate, as in 50/s, 600/m or 1000/h, or 0", Zero: true}

	PostgresURL = Type{Words: "a URL, as in postgres://user:password@host:5432/database, or host=... dbname=...",
		Secret: true}
	RedisURL = Type{Words: "a URL, as in redis://user:password@host:6379/0; rediss:// with TLS, or unix:///path",
		Secret: true}
	WebURL        = Type{Words: "a URL, as in https://host/path", Secret: true}
	Secret        = Type{Words: "a text that is kept secret", Secret: true}
	SigningSecret = Type{Words: "whsec_ with base64, or any text of 16 characters or more", Secret: true}
	Listen        = Type{Words: "host:port"}
	Path          = Type{Words: "a path, as in /stoker"}

	Name      = Type{Words: "a name of a-z, 0-9 and -"}
	FeedName  = Type{Words: "a name of 1 to 54 of a-z, 0-9 and _"}
	Key       = Type{Words: `a text with {column} in it, in quotes, as in "product:{id}"`}
	Query     = Type{Words: "a SELECT"}
	KeysQuery = Type{Words: "a SELECT that uses $1, as in SELECT id FROM product WHERE supplier_id = ANY($1)"}
	File      = Type{Words: "the name of a file beside the spec or below"}
	Zone      = Type{Words: "an IANA name, as in Europe/Berlin"}
	Cron      = Type{Words: `5 or 6 cron fields in quotes, as in "*/5 * * * *", or "@every 30s", @hourly, @daily`}
	Table     = Type{Words: `the name of a table, as in product, shop.product or '"Orders"'`}
	Column    = Type{Words: "the name of a column, without quotes"}
	Role      = Type{Words: "the name of a role"}
)

// The types of what is not a single value.
var (
	Section  = Type{Form: Mapping, Words: "a mapping"}
	Sections = Type{Form: List, Words: "a list of mappings"}
	Columns  = Type{Form: Pairs, Words: "a mapping from each column of the key to a column of the table"}
)
