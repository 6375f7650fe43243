package connurl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/jobs/specfile/spelling"
)

// driverParams is what the driver understands, besides pool_*.
var driverParams = []string{
	"host", "port", "user", "password", "dbname", "database", "passfile", "connect_timeout", "application_name",
	"options", "sslmode", "sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword", "sslsni",
	"krbspn", "krbsrvname", "target_session_attrs", "service", "servicefile", "min_protocol_version",
	"max_protocol_version", "channel_binding", "require_auth", "default_query_exec_mode", "statement_cache_capacity",
	"description_cache_capacity", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime",
	"pool_max_conn_idle_time", "pool_health_check_period", "pool_max_conn_lifetime_jitter", "pool_ping_timeout",
}

// droppedParams is what libpq understands and Stoker can do without: it tunes
// the connection. The driver would send it to the server, which refuses it.
var droppedParams = []string{
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslcompression",
	"load_balance_hosts", "gsslib", "gssdelegation", "client_encoding", "authtype", "tty", "sslkeylogfile",
}

// refusedParams is what libpq understands, the driver does not, and what may not be
// left out silently, with what to do.
var refusedParams = map[string]string{
	"hostaddr":                 "write the address as the host",
	"sslcrl":                   "remove it: lists of revoked certificates are not read",
	"sslcrldir":                "remove it: lists of revoked certificates are not read",
	"requirepeer":              "remove it: the owner of a socket is not looked at",
	"ssl_min_protocol_version": "remove it: TLS is 1.2 or newer in any case",
	"ssl_max_protocol_version": "remove it",
	"replication":              "remove it: Stoker opens replication connections itself",
	"scram_client_key":         "write the password",
	"scram_server_key":         "write the password",
}

// sslModes and sessionAttrs are the words of these parameters.
var (
	sslModes     = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	sessionAttrs = []string{"any", "read-write", "primary", "read-only", "standby", "prefer-standby"}
)

// translate refuses what the driver would misunderstand, and rewrites what it
// does not know and libpq does.
func (c *connString) translate() error {
	var kept []pgParam
	for _, p := range c.params {
		q, err := c.translateOne(p)
		if err != nil {
			return err
		}
		if q != p {
			c.changed = true
		}
		if q.name != "" {
			kept = append(kept, q)
		}
	}
	c.params = kept
	return nil
}

// translateOne returns the parameter as the driver takes it, without a name if it
// is left out.
func (c *connString) translateOne(p pgParam) (pgParam, error) {
	switch p.name {
	case "ssl":
		return c.translateSSL(p)
	case "sslmode":
		return p, oneWord("the sslmode", p.value, sslModes)
	case "requiressl":
		return pgParam{"sslmode", map[string]string{"1": "require"}[p.value]}.unlessEmpty(), nil
	case "target_session_attrs":
		return p, checkSessionAttrs(p.value)
	case "connect_timeout":
		if n, err := strconv.Atoi(p.value); err != nil || n < 0 {
			return p, wrong("has a connect_timeout that is not a number",
				"write whole seconds, without a unit: connect_timeout=10")
		}
		return p, nil
	case "gssencmode":
		if p.value == "require" {
			return p, wrong("asks for gssencmode=require, which Stoker has not", "use TLS: sslmode=verify-full")
		}
		return pgParam{}, nil
	case "fallback_application_name":
		if _, given := c.get("application_name"); given {
			return pgParam{}, nil
		}
		return pgParam{"application_name", p.value}, nil
	case "schema", "currentSchema":
		if p.value == "public" || p.value == "" {
			return pgParam{}, otherLibrary(p.name, "remove it: public is searched in any case")
		}
	}
	if slices.Contains(droppedParams, p.name) {
		return pgParam{}, nil
	}
	return p, checkParam(p.name)
}

func (p pgParam) unlessEmpty() pgParam {
	if p.value == "" {
		return pgParam{}
	}
	return p
}

// translateSSL reads what JDBC and others have for sslmode.
func (c *connString) translateSSL(p pgParam) (pgParam, error) {
	mode := p.value
	switch strings.ToLower(p.value) {
	case "true", "1", "on", "yes":
		mode = "require"
	case "false", "0", "off", "no":
		mode = "disable"
	}
	if given, has := c.get("sslmode"); has {
		if mode == given || mode == "require" { // whichever it is, sslmode says more
			return pgParam{}, nil
		}
		return p, wrong("has both ssl and sslmode, which differ", "keep sslmode")
	}
	return pgParam{"sslmode", mode}, oneWord("the sslmode", mode, sslModes)
}

func checkSessionAttrs(value string) error {
	if slices.Contains([]string{"read-only", "standby", "prefer-standby"}, value) {
		return wrong("asks for target_session_attrs="+value+", and snapshots of a standby cannot be ordered",
			"write target_session_attrs=read-write: Stoker reads the primary")
	}
	return oneWord("the target_session_attrs", value, sessionAttrs)
}

// oneWord refuses a value that is not one of words. It may be shown if it is near one.
func oneWord(what, value string, words []string) error {
	if slices.Contains(words, value) {
		return nil
	}
	switch strings.ToLower(strings.ReplaceAll(value, "_", "-")) {
	case "no-verify", "accept-invalid-certs", "accept-invalid-hostnames", "prefer-no-verify":
		return wrong("has an sslmode of another library (no-verify is node-postgres')",
			"write sslmode=require, which encrypts and verifies no certificate")
	}
	if best := spelling.Nearest(strings.ReplaceAll(value, "_", "-"), words); best != "" {
		return wrong("has "+what+" that Postgres does not know", "did you mean "+best+"?")
	}
	return wrong("has "+what+" that Postgres does not know", "it is one of "+strings.Join(words, ", "))
}

// checkParam refuses names that are not for the driver and surely not settings
// of Postgres, which every other name may be.
func checkParam(name string) error {
	if slices.Contains(driverParams, name) {
		return nil
	}
	if hint, refused := refusedParams[name]; refused {
		return wrong(fmt.Sprintf("has the parameter %s, which Stoker's driver does not know", name), hint)
	}
	lower := strings.ToLower(name)
	if hint, foreign := foreignParams[lower]; foreign {
		return otherLibrary(name, hint)
	}
	if strings.HasPrefix(lower, "oauth_") {
		return otherLibrary(name, "remove it, and write user and password")
	}
	switch {
	case !isPlainWord(name):
		return wrong("has a parameter whose name no setting has", "write parameters as in ?sslmode=require")
	case lower != name && !slices.Contains([]string{"datestyle", "timezone", "intervalstyle"}, lower):
		return otherLibrary(name, "remove it: parameters of Postgres are written in small letters, with _")
	}
	if meant := misspelt(name); meant != "" {
		return wrong(fmt.Sprintf("has the unknown parameter %q", name), fmt.Sprintf("did you mean %q?", meant))
	}
	return nil
}

// misspelt returns the driver's parameter that a name was surely meant to be.
func misspelt(name string) string {
	for _, known := range driverParams {
		if len(known) > 5 && (spelling.Distance(name, known) <= 1 || strings.ReplaceAll(name, "_", "") == known) {
			return known
		}
	}
	return ""
}

func otherLibrary(name, hint string) error {
	return wrong(fmt.Sprintf("has the parameter %q, which is another library's and not one of Postgres", name), hint)
}

// foreignParams is what other libraries take in a URL, in small letters, with what to do here.
var foreignParams = readForeignParams()

func readForeignParams() map[string]string {
	const (
		remove  = "remove it"
		pool    = "remove it, and write postgres.max_connections in the spec"
		path    = "write search_path=NAME in its place"
		pooler  = "remove it: Stoker works through a pooler in transaction mode as it is"
		limit   = "remove it; postgres.statement_timeout in the spec limits a statement"
		connect = "write connect_timeout=10 in its place, in seconds"
		tls     = "write sslmode and sslrootcert in its place"
		name    = "write application_name in its place"
		session = "write target_session_attrs in its place"
	)
	hints := make(map[string]string)
	for hint, names := range map[string]string{
		pool: "connection_limit pool_size poolsize max_overflow pool max max_pool_size maxpoolsize " +
			"min_pool_size minimum_pool_size maximumpoolsize pool_limit max_connections " +
			"maxconnections",
		path: "schema currentschema schema_search_path default_schema",
		pooler: "pgbouncer supa workaround prepared_statement_cache_size prepared_statements " +
			"statement_cache_size",
		limit: "socket_timeout sockettimeout query_timeout command_timeout commandtimeout " +
			"statement_limit timeout",
		connect: "connecttimeout logintimeout connectiontimeoutmillis connection_timeout connecttimeoutms",
		tls: "sslaccept ssl_require sslfactory sslinline ssl_mode ssl_ca sslca ssl_cert ssl_key " +
			"sslidentity trustservercertificate usessl requiressl verifyservercertificate tls " +
			"direct_tls",
		name:    "applicationname app_name",
		session: "targetservertype loadbalancehosts",
		remove: "pool_timeout pool_recycle pool_pre_ping pool_use_lifo echo future uselibpqcompat " +
			"serverversion charset encoding adapter checkout_timeout reaping_frequency variables " +
			"advisory_locks min_messages conn_max_age conn_health_checks disable_server_side_cursors " +
			"max_idle_connection_lifetime max_connection_lifetime single_use_connections " +
			"idletimeoutmillis preparethreshold preferquerymode rewritebatchedinserts stringtype " +
			"tcpkeepalive binarytransfer defaultrowfetchsize readonly allowencodingchanges " +
			"binary_parameters disable_prepared_binary_result server_settings async_fallback " +
			"prepared_statement_name_func max_cached_statement_lifetime queue_target queue_interval " +
			"retryable unicode ansi",
	} {
		for n := range strings.FieldsSeq(names) {
			hints[n] = hint
		}
	}
	return hints
}
