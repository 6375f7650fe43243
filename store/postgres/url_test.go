package postgres_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres/connector"
	"github.com/stokerhq/stoker/store/storetest"
)

// Every form of a connection string that is libpq's or pgx's connects.
func TestConnectionStringsConnect(t *testing.T) {
	base := storetest.Postgres(t)
	storetest.Exec(t, base, "CREATE SCHEMA x", "CREATE TABLE x.thing (id int)", "INSERT INTO x.thing VALUES (7)")
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	plain := *u
	plain.RawQuery = ""
	password, _ := u.User.Password()
	keywords := "host=" + u.Hostname() + " port=" + u.Port() + " dbname=" + strings.TrimPrefix(u.Path, "/") +
		" user=" + u.User.Username() + " password='" + password + "' sslmode=disable"
	service := filepath.Join(t.TempDir(), "services")
	text := "[shop]\n" + strings.ReplaceAll(strings.ReplaceAll(keywords, " ", "\n"), "'", "") + "\n"
	if err := os.WriteFile(service, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	first := func(dsn string) string { return strings.Replace(dsn, "@", "@127.0.0.1:1,", 1) }
	with := func(u url.URL, query string) string { return u.String() + "?sslmode=disable&" + query }
	for name, dsn := range map[string]string{
		"options":       with(plain, "options=-c%20search_path%3Dx"),
		"search_path":   with(plain, "search_path=x"),
		"pool":          with(plain, "search_path=x&pool_max_conns=1&default_query_exec_mode=exec"),
		"hosts":         first(with(plain, "search_path=x&target_session_attrs=primary")),
		"keywords":      keywords + " search_path=x",
		"service":       "postgres://?search_path=x&service=shop&servicefile=" + service,
		"service alone": "service=shop search_path=x servicefile=" + service,
	} {
		t.Run(name, func(t *testing.T) {
			if err := connector.CheckURL(jobs.NewSecret(dsn)); err != nil {
				t.Fatal(err)
			}
			rows := 0
			thing := job(t, "SELECT id FROM thing", "k:{id}")
			err := open(t, dsn).Run(t.Context(), thing, func(r *store.Reading) error {
				for _, err := range r.Rows {
					if err != nil {
						return err
					}
					rows++
				}
				return nil
			})
			if err != nil || rows != 1 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}

// What the driver refuses is known before anything connects, and never shows the password.
func TestCheckURLSaysWhatTheDriverLacks(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://a:hunter2@db/x?sslmode=verify-full&sslrootcert=/none/ca.pem": "unable to read CA file",
		"host=db password=hunter2 sslmode=require sslrootcert=/none/ca.pem":      "unable to read CA file",
		"postgres://a:hunter2@db/x?service=none&servicefile=/none/services":      "failed to read service",
		"postgres://a:hunter2@db/x?sslcert=/none/c.pem&sslkey=/none/k.pem":       "unable to read sslkey",
		"postgres://a:hunter2@db/x?pool_max_conns=many":                          "pool_max_conns",
		"postgres://a:hunter2@db,db2/x?port=1,2,3":                               "port",
		"postgres://a:hunter2@db/x?channel_binding=hunter":                       "channel_binding",
	} {
		err := connector.CheckURL(jobs.NewSecret(dsn))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
	}
}

// A setting that the server does not know, and a password that is missing, are named.
func TestRefusedConnectionsSayWhatToDo(t *testing.T) {
	base := storetest.Postgres(t)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "")
	for dsn, want := range map[string]string{base + "&stattement_timeout=9": "remove it from the URL",
		u.String(): "postgres.url has no password"} {
		if _, err := open(t, dsn).Server(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
	}
}

// Each connection says whose it is; the URL's own word wins.
func TestApplicationName(t *testing.T) {
	base := storetest.Postgres(t)
	for dsn, want := range map[string]string{
		base:                              "stoker",
		base + "&application_name=api":    "api",
		base + "&application_name=a%20b!": "a b!",
	} {
		var got string
		err := open(t, dsn).Do(t.Context(), func(c *pgx.Conn) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return c.QueryRow(ctx, "SELECT current_setting('application_name')").Scan(&got)
		})
		if err != nil || got != want {
			t.Errorf("%s: application_name %q, %v, want %q", dsn, got, err, want)
		}
	}
}
