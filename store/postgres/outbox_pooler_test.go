package postgres_test

import (
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"testing"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// pooled starts a PgBouncer in transaction mode before the server.
func pooled(t *testing.T, server *testserver.Postgres, settings ...string) *testserver.PgBouncer {
	t.Helper()
	b, err := testserver.StartPgBouncer(t.Context(), server, settings...)
	if _, missing := errors.AsType[*testserver.MissingError](err); missing && runtime.GOOS != "linux" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// asRole is a connection string of another role.
func asRole(t *testing.T, connection, role, password string) string {
	t.Helper()
	u, err := url.Parse(connection)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// The outbox is installed, fed and read through a pooler in transaction mode.
func TestOutboxThroughPgBouncer(t *testing.T) {
	server := storetest.OwnPostgres(t)
	storetest.Exec(t, server.URL("postgres"), outboxShop)
	r := newOutboxAt(t, pooled(t, server).URL("postgres"), shopWatches())
	r.url = server.URL("postgres") // the application is not behind it
	for i := range 20 {
		r.exec(fmt.Sprintf("UPDATE product SET name = 'x' WHERE id = %d", i+1))
		r.want("through the pooler", fmt.Sprintf("product map[id:%d]", i+1), fmt.Sprintf("supplier by %d", (i+1)%10))
	}
}
