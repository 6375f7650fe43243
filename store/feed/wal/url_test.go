package wal_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// Broken by: a parameter of a connection string that concerns the pool, or how statements are run, and that is sent
// to the server by the feed's own connections, which it refuses.
func TestPoolParameters(t *testing.T) {
	plain := storetest.Postgres(t)
	storetest.Exec(t, plain, feedtest.Shop)
	for _, parameters := range []string{"pool_max_conns=4", "pool_min_conns=1&pool_min_idle_conns=1",
		"pool_max_conn_lifetime=1h&pool_max_conn_lifetime_jitter=5m", "pool_max_conn_idle_time=10m",
		"pool_health_check_period=1m", "pool_ping_timeout=5s", "default_query_exec_mode=exec",
		"statement_cache_capacity=10", "description_cache_capacity=10", "application_name=ours&pool_max_conns=4"} {
		t.Run(parameters, func(t *testing.T) {
			for form, connection := range map[string]string{"URL": plain + "&" + parameters,
				"words": inWords(t, plain) + " " + strings.ReplaceAll(parameters, "&", " ")} {
				secret := jobs.NewSecret(connection)
				s, err := postgres.Open(jobs.Postgres{URL: secret, MaxConnections: 2, StatementTimeout: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				spec := followingWAL(t, connection)
				spec.Postgres.URL = secret
				feedtest.WantProblems(t, form, checked(t, s, spec))
				w, _ := openWAL(t, s, spec)
				storetest.Exec(t, plain, "UPDATE product SET name = 'x' WHERE id = 7")
				if got, _ := next(t, w, 1); got != "a map[id:7]" {
					t.Errorf("%s: %s", form, got)
				}
			}
		})
	}
}

// inWords is a connection string in the other form that there is.
func inWords(t *testing.T, connection string) string {
	t.Helper()
	u, err := url.Parse(connection)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	return "host=" + u.Hostname() + " port=" + u.Port() + " user=" + u.User.Username() + " password=" + password +
		" dbname=" + strings.TrimPrefix(u.Path, "/") + " sslmode=disable"
}

// A parameter that is wrong is named, without the password.
func TestWrongPoolParameter(t *testing.T) {
	plain := storetest.Postgres(t)
	storetest.Exec(t, plain, feedtest.Shop)
	s, spec := feedtest.Open(t, plain), followingWAL(t, strings.Replace(plain, "@", "secret-word@", 1)+
		"&pool_max_conns=many")
	got := strings.Join(checked(t, s, spec), "\n")
	_, _, err := wal.Open(t.Context(), wal.Config{Source: s, Spec: spec})
	if err == nil || !strings.Contains(err.Error(), "changes.url: cannot parse pool_max_conns") ||
		!strings.Contains(got, "cannot parse pool_max_conns") || strings.Contains(got+err.Error(), "secret-word") {
		t.Errorf("check %q, open %v", got, err)
	}
}
