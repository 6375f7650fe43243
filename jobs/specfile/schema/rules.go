package schema

// rules are what the fields of a mapping say of each other. name is the field that holds the mapping, or the list of
// them. A rule looks only at what stands in the file: a value from the environment never breaks one.
func rules(name string) []*node {
	switch name {
	case "admin":
		return []*node{tokenRule(), eitherRule("token")}
	case "postgres":
		return urlRules("url")
	case "redis":
		return append(urlRules("url"), urlRules("queue_url")[:1]...)
	case "changes":
		return []*node{urlRules("url")[0], {
			If: &node{Properties: map[string]any{"source": one("none", "outbox")}}, // also where there is none
			Then: never("For source: wal alone: remove it, or write source: wal.",
				"url", "url_file", "password_file", "tls", "slot", "name", "unbounded_wal"),
		}}
	case "notify":
		return []*node{eitherRule("secret")}
	case "jobs":
		return append(valueRules(), queryRules()...)
	case "watch":
		return watchRules()
	}
	return nil
}

// given matches a mapping that has all these fields.
func given(names ...string) *node { return &node{Type: []string{"object"}, Required: names} }

// refuse matches no mapping and no text. Language servers say the message of a type, but not that of "not".
func refuse(message string) *node { return &node{Type: []string{"null"}, Message: message} }

// not matches what n does not.
func not(n *node) *node { return &node{Not: n} }

// all matches what all of these match.
func all(nodes ...*node) *node { return &node{AllOf: nodes} }

// one matches each of these values.
func one(values ...any) *node { return &node{Enum: values} }

// is matches a mapping in which a field is given with one of these values.
func is(name string, values ...any) *node {
	return &node{Required: []string{name}, Properties: map[string]any{name: one(values...)}}
}

// never refuses these fields, and says why.
func never(message string, names ...string) *node {
	n := &node{Properties: map[string]any{}, Message: message}
	for _, name := range names {
		n.Properties[name] = false
	}
	return n
}

// eitherRule refuses a field beside the one that names a file for it.
func eitherRule(name string) *node {
	return &node{If: given(name, name+"_file"), Then: never("Keep one: "+name+" or "+name+"_file.", name+"_file")}
}

// urlRules are those of a URL, which may lie in a file: not both, and one of the two.
func urlRules(url string) []*node {
	return []*node{
		eitherRule(url),
		{If: not(given(url + "_file")), Then: &node{Required: []string{url}}},
	}
}

func queryRules() []*node {
	return []*node{
		{If: given("query", "query_file"), Then: never("Keep one: query or query_file.", "query_file")},
		{If: not(given("query_file")), Then: &node{Required: []string{"query"}}},
	}
}

// valueRules are those of value, type, format, omit and compress.
func valueRules() []*node {
	const (
		hash = "Not of type hash, which holds the columns' text and is read field by field: remove it."
		zset = "Not of type zset, which holds members and their scores: remove it."
	)
	return []*node{
		{
			If:   all(is("format", "text"), &node{Properties: map[string]any{"value": one("row", "rows")}}),
			Then: never("Format text is for value: scalar: write that, or another format.", "format"),
		},
		{
			If:   all(is("type", "hash"), is("value", "rows", "scalar")),
			Then: never("Type hash is for value: row.", "type"),
		},
		{
			If:   all(is("type", "zset"), not(is("value", "rows"))),
			Then: never("Type zset is for value: rows.", "type"),
		},
		{If: is("type", "zset"), Then: never(zset, "format")},
		{If: all(is("type", "zset"), is("compress", "gzip", "zstd")), Then: never(zset, "compress")},
		{If: is("type", "hash"), Then: never(hash, "format")},
		{If: all(is("type", "hash"), is("compress", "gzip", "zstd")), Then: never(hash, "compress")},
		{
			If:   all(is("format", "fastapi-redis"), is("compress", "gzip", "zstd")),
			Then: never("Not with format fastapi-redis: the SDK reads plain JSON. Remove it.", "compress"),
		},
		{
			If:   all(given("omit"), is("value", "scalar")),
			Then: never("For value: row or rows: a scalar is the one column that is not in the key.", "omit"),
		},
		{
			If: all(
				&node{Required: []string{"unwatched"},
					Properties: map[string]any{"unwatched": &node{Type: []string{"array"}, MinItems: 1}}},
				&node{Properties: map[string]any{"watch": &node{Type: []string{"array", "null"}, MaxItems: new(int)}}},
			),
			Then: &node{Properties: map[string]any{
				"unwatched": refuse("For a job that watches tables: remove it, or add watch.")}},
		},
	}
}

func watchRules() []*node {
	query := &node{AnyOf: []*node{given("column"), given("keys")}}
	return []*node{
		{
			If:   all(given("key"), query),
			Then: refuse("Keep key, or column with keys."),
		},
		{
			If:   all(given("column"), not(given("keys")), not(given("key"))),
			Then: never("Add keys: SELECT <key columns> FROM ... WHERE ... = ANY($1).", "column"),
		},
		{
			If:   all(given("keys"), not(given("column")), not(given("key"))),
			Then: never("Add column: the column of the table whose values fill $1.", "keys"),
		},
		{
			If:   all(given("partial"), not(given("key")), not(given("keys"))),
			Then: never("For an entry that names keys, by key or by column and keys: remove it.", "partial"),
		},
	}
}

// local is a listen address that may be of this machine alone.
const local = `^([Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|[^:]*\.[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|` +
	`127\.[0-9.]*|\[[^\]]*(1|127\.[0-9.]*|7[Ff][0-9A-Fa-f:]*)\]):`

// tokenRule demands a token where other machines reach the pages.
func tokenRule() *node {
	address := &node{Type: []string{"string"}, Pattern: `:[0-9]+$`,
		Not: &node{Pattern: local + `|` + hasOne}}
	empty := &node{AnyOf: []*node{
		{Type: []string{"null"}},
		{Type: []string{"string"}, Pattern: `^[ \t\r\n]*$`},
	}}
	return &node{
		If: all(
			&node{Required: []string{"listen"}, Properties: map[string]any{"listen": address}},
			&node{Properties: map[string]any{"token": empty}}, not(given("token_file")),
		),
		Then: never("Other machines reach this address: set admin.token, or listen on 127.0.0.1.", "listen"),
	}
}
