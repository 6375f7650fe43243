package cache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/store/cache"
)

// commands counts how often Redis has executed commands since it was asked last.
func (r *rig) commands() map[string]int64 {
	r.Helper()
	calls := map[string]int64{}
	for line := range strings.Lines(r.client.Info(r.Context(), "commandstats").Val()) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		var n int64
		if _, err := fmt.Sscan(strings.Split(rest, ",")[0], &n); err == nil {
			calls[name] = n
		}
	}
	if err := r.client.ConfigResetStat(r.Context()).Err(); err != nil {
		r.Fatal(err)
	}
	return calls
}

// A book that concerns nobody costs a run one look, which rides behind the
// transaction before: no script is called.
func TestTransactionOfQuietBook(t *testing.T) {
	r := newRig(t)
	cl := r.claim(10)
	r.commands()
	for i := range 5 {
		put(t, r.values, cl, entry(fmt.Sprint(i), "v", time.Hour))
	}
	got := r.commands()
	want := map[string]int64{"multi": 5, "exec": 5, "set": 5, "watch": 6, "hmget": 6, "evalsha": 0}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%d times %s, want %d", got[name], name, n)
		}
	}
}

// Fields of other keys do not keep a run from its wire: it asks for its own.
func TestTransactionBesideFields(t *testing.T) {
	r := newRig(t)
	cl := r.claim(10)
	r.fence(11, "x", 0)
	for i := range 3 {
		if out := put(t, r.values, cl, entry(fmt.Sprint(i), "v", time.Hour)); out.Written != 1 {
			t.Errorf("outcome %+v", out)
		}
	}
	if n := r.tap.Execs.Load(); n != 3 {
		t.Errorf("%d transactions, want 3", n)
	}
	if out := put(t, r.values, cl, entry("x", "v", time.Hour), entry("y", "v", time.Hour)); out.Old != 1 ||
		out.Written != 1 {
		t.Errorf("outcome %+v", out)
	}
	if n := r.tap.Execs.Load(); n != 3 {
		t.Errorf("the wire was tried for a key that is fenced")
	}
}

// The look that rides behind a transaction counts for the next one, however much
// later that comes: what has happened in between refuses it.
func TestBookStateIsCarried(t *testing.T) {
	r := newRig(t)
	for _, e := range events {
		if e.noRun {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			r := r.again(t)
			cl := r.claim(10)
			put(t, r.values, cl, entry("first", "v", time.Hour))
			e.do(r)
			out, err := r.values.Put(t.Context(), cl,
				batch(entry("a", "mine", time.Hour), entry("b", "mine", time.Hour)))
			switch {
			case e.calm:
				if err != nil || out.Written != 2 || r.tap.Aborts.Load() != 0 {
					t.Errorf("%+v, %v, %d transactions refused", out, err, r.tap.Aborts.Load())
				}
			case !errors.Is(err, e.err) || r.tap.Aborts.Load() != 1:
				t.Errorf("%+v, %v, %d transactions refused; want %v and one", out, err, r.tap.Aborts.Load(), e.err)
			case err == nil && (out.Old == 1) != e.old:
				t.Errorf("%+v", out)
			}
		})
	}
}

// After a refused transaction, and after a batch that went by script, the next one
// looks anew.
func TestTransactionGoesOn(t *testing.T) {
	r := newRig(t)
	cl := r.claim(10)
	r.tap.BeforeExec = func() { r.fence(11, "a", 0); r.tap.BeforeExec = nil }
	for i, want := range []cache.Outcome{{Written: 1, Old: 1, Bytes: 2}, {Written: 1, Old: 1, Bytes: 2}} {
		if d := cmp.Diff(want, put(t, r.values, cl, entry("a", "1", time.Hour),
			entry("b", fmt.Sprint(i), time.Hour))); d != "" {
			t.Error(d)
		}
	}
	if out := put(t, r.values, cl, entry("b", "2", time.Hour)); out.Written != 1 {
		t.Errorf("%+v", out)
	}
	if execs, aborts := r.tap.Execs.Load(), r.tap.Aborts.Load(); execs != 2 || aborts != 1 {
		t.Errorf("%d transactions, %d refused; want 2 and 1", execs, aborts)
	}
}

// Redis closes connections that are idle for long, if it is told so.
func TestWireThatWasClosed(t *testing.T) {
	for name, use := range map[string]func(*rig, *cache.Claim) error{
		"put": func(r *rig, cl *cache.Claim) error {
			_, err := r.values.Put(r.Context(), cl, batch(entry("a", "v", time.Hour)))
			return err
		},
		"touch": func(r *rig, cl *cache.Claim) error {
			n, err := r.values.Touch(r.Context(), cl, kept(false, "a"))
			if err == nil && n != 1 {
				return fmt.Errorf("%d are there", n)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			last := r.claim(8)
			put(t, r.values, last, entry("a", "v", time.Hour))
			cl := r.claim(10)
			if !cl.Trust(last.NewManifest()) {
				t.Error("the last run is not trusted")
			}
			if err := use(r, cl); err != nil {
				t.Fatal(err)
			}
			if err := r.client.Do(t.Context(), "client", "kill", "type", "normal", "skipme", "yes").Err(); err != nil {
				t.Fatal(err)
			}
			if err := use(r, cl); err != nil {
				t.Error(err)
			}
		})
	}
}
