package connurl

import (
	"strings"
	"testing"
)

// What libpq and pgx know works; where the driver lacks something of libpq's, it is
// translated. "" is: as it was written.
func TestPostgresURLsOfLibpqAndPgx(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://app:hunter2@db:5432/shop":                               "",
		"postgresql://app@db":                                               "",
		"postgres://":                                                       "",
		"postgres:///shop?host=/var/run/postgresql":                         "",
		"postgresql://app:hunter2@%2Fvar%2Frun%2Fpostgresql/shop":           "",
		"postgres://app:@db/shop":                                           "", // an empty password is none
		"postgres://:hunter2@db/shop":                                       "",
		"postgres://app:hunter2@h1:5432,h2:5433/shop":                       "",
		"postgres://app:hunter2@h1,h2/shop?target_session_attrs=read-write": "",
		"postgres://app:hunter2@[::1]:5432/shop":                            "",
		"postgres://app:hun#ter?2&x:y@db/shop":                              "", // the first @ ends it
		"postgres://app:p%40ss%2Fw%25@db/shop":                              "",
		"postgres://db/shop?user=app@tenant&password=hunter2":               "",
		"postgres://db/shop?sslmode=verify-full&sslrootcert=/ca.pem":        "",
		"postgres://db/shop?sslrootcert=system&sslmode=verify-full":         "",
		"postgres://db/shop?options=-c%20search_path%3Dx":                   "",
		"postgres://db/shop?search_path=x&timezone=UTC&statement_timeout=9": "",
		"postgres://db/shop?TimeZone=UTC&DateStyle=ISO":                     "",
		"postgres://db/shop?myext.tenant=7":                                 "",
		"postgres://db/shop?pool_max_conns=4&pool_max_conn_idle_time=1m":    "",
		"postgres://db/shop?default_query_exec_mode=simple_protocol":        "",
		"postgres://db/shop?application_name=api&connect_timeout=3":         "",
		"postgres://?service=shop":                                          "",
		"service=shop":                                                      "",
		"host=db port=5432 dbname=shop user=app password='hun ter\\'2'":     "",
		"host = db\n dbname = shop":                                         "",
		"host=/var/run/postgresql dbname=shop":                              "",

		"POSTGRES://db/shop":                                    "postgres://db/shop",
		"postgres://db/shop?sslmode=require&":                   "postgres://db/shop?sslmode=require",
		"postgres://db/shop?ssl=true":                           "postgres://db/shop?sslmode=require",
		"postgres://db/shop?ssl=false":                          "postgres://db/shop?sslmode=disable",
		"postgres://db/shop?ssl=verify-full":                    "postgres://db/shop?sslmode=verify-full",
		"postgres://db/shop?ssl=true&sslmode=verify-ca":         "postgres://db/shop?sslmode=verify-ca",
		"postgres://db/shop?requiressl=1":                       "postgres://db/shop?sslmode=require",
		"postgres://db/shop?options=-c+search_path%3Dx":         "postgres://db/shop?options=-c%20search_path%3Dx",
		"postgres://db/shop?options=endpoint=ep-1":              "postgres://db/shop?options=endpoint%3Dep-1",
		"postgres://db/shop?keepalives=1&keepalives_idle=30":    "postgres://db/shop",
		"postgres://db/shop?gssencmode=disable&sslmode=require": "postgres://db/shop?sslmode=require",
		"postgres://db/shop?client_encoding=utf8":               "postgres://db/shop",
		"postgres://db/shop?fallback_application_name=api":      "postgres://db/shop?application_name=api",
		"host=db keepalives=1 ssl=true password='a b\\'c\\\\'":  `host='db' sslmode='require' password='a b\'c\\'`,
	} {
		got, err := ParsePostgres(in)
		if want == "" {
			want = in
		}
		if err != nil || got.Reveal() != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", in, got.Reveal(), err, want)
		}
	}
}

// Each line: what is written, and what the message must hold: the name of the mistake,
// and what to write. No message may hold the password.
func TestPostgresURLsOfOthers(t *testing.T) {
	for in, want := range map[string][]string{
		"postgresql+asyncpg://app:hunter2@db/shop":               {"+asyncpg", "write postgresql://"},
		"postgres+psycopg2://app:hunter2@db/shop":                {"+psycopg2", "write postgresql://"},
		"postgresql+psycopg://app:hunter2@db/shop":               {"+psycopg", "write postgresql://"},
		"jdbc:postgresql://db/shop?user=app&password=hunter2":    {"Java", "postgresql://user:password@host"},
		"jdbc:postgres://db/shop":                                {"Java"},
		"r2dbc:postgresql://db/shop":                             {"Java"},
		"pgsql:host=db;dbname=shop;password=hunter2":             {"PHP"},
		"pgsql://app:hunter2@db/shop":                            {"pgsql://", "write postgresql://"},
		"ecto://app:hunter2@db/shop":                             {"ecto://", "write postgresql://"},
		"postgis://app:hunter2@db/shop":                          {"postgis://"},
		"prisma+postgres://accelerate/?api_key=hunter2":          {"Prisma"},
		"mysql://app:hunter2@db/shop":                            {"another database, mysql"},
		"mysql+pymysql://app:hunter2@db/shop":                    {"another database, mysql"},
		"https://app:hunter2@db/shop":                            {"another database, https"},
		"Host=db;Username=app;Password=hunter2":                  {".NET", "host=... port=5432"},
		"Server=db;Database=shop;User Id=app;Password=hunter2":   {".NET"},
		"psql 'postgresql://app:hunter2@db/shop'":                {"psql", "alone"},
		`"postgres://app:hunter2@db/shop"`:                       {"quote", "env files"},
		"'postgres://app:hunter2@db/shop'":                       {"quote"},
		"DATABASE_URL=postgres://app:hunter2@db/shop":            {"name of a variable"},
		"$DATABASE_URL":                                          {"write ${NAME}"},
		"$(DATABASE_URL)":                                        {"write ${NAME}"},
		"{{ .Values.url }}":                                      {"template"},
		"postgres:/app:hunter2@db/shop":                          {"://"},
		"app:hunter2@db/shop":                                    {"not a Postgres URL"},
		"db:5432":                                                {"not a Postgres URL"},
		"host=db shop":                                           {"not a Postgres URL"},
		"host=db password='hunter2":                              {"not closed"},
		"postgres://app:hunter2@x@db/shop":                       {"another @", "%40"},
		"postgres://app:hun/ter2@db/shop":                        {"another @", "%2F"},
		"postgres://app:54/hunter2@db/shop":                      {"another @", "%2F"},
		"postgres://app:hunter2%zz@db/shop":                      {"%", "%25"},
		"postgres://app:hunter2%@db/shop":                        {"%", "%25"},
		"postgres://app:hun ter2@db/shop":                        {"blank", "%20"},
		"postgres://app:hunter2@db/shop\n?sslmode=require":       {"line break"},
		"postgres://app:hunter2@db:54x/shop":                     {"port"},
		"postgres://app:hunter2@db:70000/shop":                   {"port"},
		"postgres://app:hunter2@::1/shop":                        {"port", "[ ]"},
		"postgres://db/shop?schema=public":                       {`"schema"`, "remove it"},
		"postgres://db/shop?schema=tenant":                       {`"schema"`, "search_path=NAME"},
		"postgres://db/shop?currentSchema=tenant":                {`"currentSchema"`, "search_path=NAME"},
		"postgres://db/shop?pgbouncer=true&connection_limit=1":   {`"pgbouncer"`, "remove it"},
		"postgres://db/shop?connection_limit=1":                  {"max_connections"},
		"postgres://db/shop?pool_timeout=0":                      {"pool_timeout"},
		"postgres://db/shop?sslmode=no-verify":                   {"no-verify", "sslmode=require"},
		"postgres://db/shop?ssl=no-verify":                       {"no-verify", "sslmode=require"},
		"postgres://db/shop?sslmode=Verify_Full":                 {"sslmode", "verify-full"},
		"postgres://db/shop?sslmode=hunter2":                     {"sslmode", "disable, allow"},
		"postgres://db/shop?sslmode=":                            {"sslmode", "disable, allow"},
		"postgres://db/shop?ssl=false&sslmode=require":           {"both ssl and sslmode"},
		"postgres://db/shop?sslaccept=strict":                    {"sslaccept", "sslmode"},
		"postgres://db/shop?sslmode=require&amp;user=app":        {"&amp;"},
		"postgres://db/shop?sslmode":                             {"name=value"},
		"postgres://db/shop?sslmod=require":                      {`"sslmod"`, `"sslmode"`},
		"postgres://db/shop?ssl_rootcert=/ca.pem":                {`"ssl_rootcert"`, `"sslrootcert"`},
		"postgres://db/shop?connect_timeout=10s":                 {"connect_timeout", "without a unit"},
		"postgres://db/shop?connectTimeout=10":                   {"connect_timeout"},
		"postgres://db/shop?ApplicationName=api":                 {"application_name"},
		"postgres://db/shop?prepareThreshold=0":                  {"prepareThreshold", "remove"},
		"postgres://db/shop?someThing=0":                         {"someThing", "small letters"},
		"postgres://db/shop?serverVersion=15&charset=utf8":       {"serverVersion", "remove"},
		"postgres://db/shop?pool_size=4":                         {"pool_size", "max_connections"},
		"postgres://db/shop?target_session_attrs=standby":        {"standby", "read-write"},
		"postgres://db/shop?target_session_attrs=prefer-standby": {"standby", "read-write"},
		"postgres://db/shop?target_session_attrs=readwrite":      {"target_session_attrs", "read-write"},
		"postgres://db/shop?hostaddr=10.0.0.1":                   {"hostaddr", "as the host"},
		"postgres://db/shop?sslcrl=/crl.pem":                     {"sslcrl", "remove"},
		"postgres://db/shop?gssencmode=require":                  {"gssencmode", "sslmode=verify-full"},
		"postgres://db/shop?replication=database":                {"replication", "remove"},
		"host=db dbname=shop schema=tenant":                      {`"schema"`, "search_path=NAME"},
	} {
		got, err := ParsePostgres(in)
		if err == nil {
			t.Errorf("%s is taken as %s", in, got.Reveal())
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", in, err, w)
			}
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%s: %v shows the password", in, err)
		}
	}
}

func FuzzPostgresURL(f *testing.F) {
	for _, seed := range []string{"postgres://a:b@c:1,d/e?f=g&ssl=true", "host='a b' x=y",
		"postgres://[::1]/?options=a+b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := ParsePostgres(in)
		if err != nil {
			return
		}
		if twice, err := ParsePostgres(once.Reveal()); err != nil || twice != once {
			t.Fatalf("%q gives %q, and that %q, %v", in, once.Reveal(), twice.Reveal(), err)
		}
	})
}
