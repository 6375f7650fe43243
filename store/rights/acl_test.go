package rights_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/store/rights"
	"github.com/stokerhq/stoker/store/storetest"
)

// The users that are printed have all that check asks for, and each right of theirs is one that it asks for. Broken
// by: a right that is printed and not asked for; one that is asked for and not printed.
func TestEachRightIsAskedFor(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	admin := open(t, server.URL(0))
	url := "redis://u:hunter2@" + server.Addr() + "/3"
	spec := everything(url, url+"?read_timeout=9s") // two servers, as far as users are concerned
	for _, u := range rights.Users(spec, rights.Scope{}) {
		needs := map[string]rights.Needs{rights.ForCache: rights.Cache(spec, rights.Scope{}),
			rights.ForQueue: rights.Queue(spec, rights.Scope{})}
		n, is := needs[u.For]
		if !is {
			continue
		}
		said := func(rules []string) string {
			args := []any{"acl", "setuser", "u", "reset", "on", ">hunter2"}
			for _, r := range rules {
				args = append(args, r)
			}
			command(t, admin, args...)
			c := open(t, url)
			r, err := rights.Check(t.Context(), c, n)
			if err != nil {
				return "error: " + err.Error()
			}
			var text []string
			for _, p := range r.Problems(c) {
				text = append(text, p.Message)
			}
			return strings.Join(text, "\n")
		}
		want(t, u.For, said(u.Rules))
		for _, right := range u.Rules {
			if strings.HasPrefix(right, "reset") || right == "-@all" {
				continue
			}
			got := said(slices.DeleteFunc(slices.Clone(u.Rules), func(r string) bool { return r == right }))
			if right == "+ping" || right == "+select" {
				right = right[1:] // the connection itself needs it: Redis names it
			}
			want(t, u.For+" without "+right, got, right)
		}
	}
}

// A line as it stands is taken by no Redis; with a password in its place it is. Broken by: a placeholder that is a
// password.
func TestPlaceholderIsNoPassword(t *testing.T) {
	t.Parallel()
	admin := open(t, storetest.OwnRedis(t).URL(0))
	for _, u := range rights.Users(everything("redis://h", "redis://h/2"), rights.Scope{}) {
		set := func(line string) error {
			args := []any{"acl", "setuser"}
			for _, word := range strings.Fields(line)[1:] {
				args = append(args, word)
			}
			return admin.Do(t.Context(), args...).Err()
		}
		if err := set(u.Line()); err == nil {
			t.Errorf("%s: the line is taken as it stands", u.For)
		}
		if err := set(strings.Replace(u.Line(), u.Password(), ">hunter2", 1)); err != nil {
			t.Errorf("%s: %v", u.For, err)
		}
	}
}

// Readers read what jobs write, and nothing else, and write nothing. Broken by: ~ in place of %R~; a pattern that is
// wider than the key template; a character of a key that has a meaning in a pattern.
func TestReadersOnlyRead(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	admin := open(t, server.URL(0))
	spec := everything(server.URL(0), server.URL(1))
	spec.Jobs = append(spec.Jobs, newJob("odd", `it's [a] "q"\?*:{id}`))
	for _, u := range rights.Users(spec, rights.Scope{}) {
		args := []any{"acl", "setuser", "reader", "reset", "on", ">hunter2"}
		for _, r := range u.Rules {
			args = append(args, r)
		}
		if u.For == rights.ForReaders {
			command(t, admin, args...)
		}
	}
	c := open(t, "redis://reader:hunter2@"+server.Addr())
	can := func(args ...any) bool {
		err := c.Do(t.Context(), args...).Err()
		return err == nil || !strings.HasPrefix(err.Error(), "NOPERM")
	}
	for _, key := range []string{"product:7:of:a:b", "every*thing", `it's [a] "q"\?*:1`} {
		if !can("get", key) || !can("mget", key, key) {
			t.Errorf("%s is not readable", key)
		}
	}
	if !can("hgetall", "hash:1") {
		t.Error("a hash is not readable")
	}
	if !can("zrevrange", "top:books", 0, 9, "withscores") || can("zadd", "top:books", 1, "m") {
		t.Error("a ranking is not readable, or can be written")
	}
	for _, key := range []string{"product:7", "everything", "stoker:{cache}:book", "stoker:ns:shop:epoch:postgres",
		"it's a [q]:1"} {
		if can("get", key) {
			t.Errorf("%s is readable", key)
		}
	}
	for _, args := range [][]any{{"set", "product:7:of:1", "x"}, {"del", "product:7:of:1"},
		{"hset", "hash:1", "f", "v"},
		{"expire", "product:7:of:1", 1}, {"flushall"}, {"keys", "*"}, {"eval", "return 1", 0}, {"config", "get", "*"},
		{"getdel", "product:7:of:1"}, {"getex", "product:7:of:1", "persist"}} {
		if can(args...) {
			t.Errorf("%v is allowed", args)
		}
	}
}

// The names in URLs stay, and no password is printed.
func TestUsersOfURLs(t *testing.T) {
	t.Parallel()
	for url, name := range map[string]string{
		"redis://h":                 "stoker-cache",
		"redis://app:hunter2@h":     "app",
		"redis://default:hunter2@h": "stoker-cache",
		"redis://:hunter2@h":        "stoker-cache",
		"redis://s:hunter2@h?master_name=m&username=app&password=hunter2": "app",
		"redis://s:hunter2@h?master_name=m":                               "stoker-cache",
	} {
		users := rights.Users(everything(url, "redis://other"), rights.Scope{})
		if users[0].Name != name {
			t.Errorf("%s: user %s, want %s", url, users[0].Name, name)
		}
		for _, u := range users {
			want(t, url, u.Line()+u.Command(), "-@all")
		}
	}
	one := everything("redis://h", "redis://h")
	if users := rights.Users(one, rights.Scope{}); len(users) != 2 || users[0].For != rights.ForBoth {
		t.Errorf("one Redis: %v", users)
	}
}
