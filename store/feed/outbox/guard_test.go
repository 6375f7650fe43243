package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
)

// Who may make objects in the schema could have made ours before us, and would own
// a function that runs with another's rights. None is adopted, by the printed SQL
// neither.
func TestOutboxInstallAdoptsNothing(t *testing.T) {
	r := newShopOutbox(t)
	r.exec("CREATE ROLE outbox_mallory", "GRANT CREATE ON SCHEMA public TO outbox_mallory")
	t.Cleanup(func() { storetest.Exec(t, r.url, "DROP OWNED BY outbox_mallory", "DROP ROLE outbox_mallory") })
	for _, c := range []struct{ kind, name, sql string }{
		{"TABLE", "public.stoker_outbox", "CREATE TABLE stoker_outbox (id bigint, at timestamptz, tab oid, columns " +
			"text[], keys text[], changed bigint, whole text, job text, key jsonb)"},
		{"FUNCTION", "public.stoker_invalidate(text)",
			"CREATE FUNCTION stoker_invalidate(job text) RETURNS void LANGUAGE sql AS ''"},
		{"FUNCTION", "public.stoker_invalidate(text, text)",
			"CREATE FUNCTION stoker_invalidate(job text, key text) RETURNS void LANGUAGE sql AS ''"},
		{"FUNCTION", "public.stoker_outbox_" + fmt.Sprint(r.count("SELECT 'product'::regclass::oid::int")) + "()",
			"CREATE FUNCTION NAME RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"},
	} {
		r.removeAll()
		r.exec("SET ROLE outbox_mallory; " + strings.Replace(c.sql, "NAME", c.name, 1))
		script, err := outbox.Install(t.Context(), r.source, r.spec)
		if err != nil {
			t.Fatal(err)
		}
		want := "role stoker, which installs the outbox, does not own " + c.name +
			": install as the owner, or remove it (stoker outbox remove; by hand what that leaves)"
		if err := outbox.Apply(t.Context(), r.source, script); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s was adopted: %v", c.name, err)
		}
		if err := r.printed(script.String()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s was adopted by the printed SQL: %v", c.name, err)
		}
		r.exec("DROP " + c.kind + " " + c.name)
	}
	r.install()
}

// removeAll removes the outbox.
func (r *outboxRig) removeAll() {
	r.t.Helper()
	script, err := outbox.Remove(r.t.Context(), r.source)
	if err == nil {
		err = outbox.Apply(r.t.Context(), r.source, script)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// printed runs SQL as psql would, until an error.
func (r *outboxRig) printed(sql string) error {
	conn := r.conn()
	_, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Installing and removing hold the lock of one table at a time, and wait for it no
// longer than Postgres takes to look for a deadlock: the application's transactions
// are never its victims. What is half done is repaired by doing it again.
func TestOutboxInstallBesideTheApplication(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*outboxRig) error
	}{
		{"install", func(r *outboxRig) error {
			script, err := outbox.Install(t.Context(), r.source, r.spec)
			if err == nil {
				err = outbox.Apply(t.Context(), r.source, script)
			}
			return err
		}},
		{"remove", func(r *outboxRig) error {
			script, err := outbox.Remove(t.Context(), r.source)
			if err == nil {
				err = outbox.Apply(t.Context(), r.source, script)
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newShopOutbox(t)
			if c.name == "install" {
				r.removeAll()
			}
			// The application has written to the table that comes last, and will write
			// to the one that comes first.
			last, first := "product", "category"
			if c.name == "install" {
				last, first = "category", "product"
			}
			app := r.conn()
			write := func(table string) (took time.Duration, err error) {
				began := time.Now()
				_, err = app.Exec(t.Context(), "INSERT INTO "+table+" VALUES (7001, 'x')")
				return time.Since(began), err
			}
			if _, err := app.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			if _, err := write(last); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- c.do(r) }()
			time.Sleep(200 * time.Millisecond) // by now it waits for the last table
			took, err := write(first)
			if err != nil || took > 800*time.Millisecond {
				t.Errorf("the application waited %s: %v", took, err)
			}
			err = <-done
			if err == nil || !strings.Contains(err.Error(), "lock timeout") ||
				!strings.Contains(err.Error(), "run it again") {
				t.Errorf("while a transaction holds a table: %v", err)
			}
			if _, err := app.Exec(t.Context(), "COMMIT"); err != nil {
				t.Errorf("the application's transaction: %v", err)
			}
			if err := c.do(r); err != nil {
				t.Errorf("again: %v", err)
			}
			if c.name == "install" {
				feedtest.WantProblems(t, "installed", checked(t, r.source, r.spec))
			} else if n := r.count(everything); n != 0 {
				t.Errorf("removing left %d objects", n)
			}
		})
	}
}
