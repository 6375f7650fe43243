package cache_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/storetest"
)

// opened is what a URL was understood as.
type opened struct {
	Kind, User, Password string
	Addrs                []string
	DB                   int
	TLS                  bool
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want opened
	}{
		{"redis://", opened{Kind: "single", Addrs: []string{"localhost:6379"}}},
		{"redis://cache/3", opened{Kind: "single", Addrs: []string{"cache:6379"}, DB: 3}},
		{"redis://u:p%2Fq@cache:7000/1", opened{Kind: "single", Addrs: []string{"cache:7000"}, User: "u",
			Password: "p/q", DB: 1}},
		{"redis://:p@cache", opened{Kind: "single", Addrs: []string{"cache:6379"}, Password: "p"}},
		{"redis://u:a@b@cache", opened{Kind: "single", Addrs: []string{"cache:6379"}, User: "u", Password: "a@b"}},
		{"redis://[::1]:7000?db=2", opened{Kind: "single", Addrs: []string{"[::1]:7000"}, DB: 2}},
		{"rediss://u:p@cache:7000", opened{Kind: "single", Addrs: []string{"cache:7000"}, User: "u", Password: "p",
			TLS: true}},
		{"unix:///run/redis@1.sock?db=4", opened{Kind: "single", Addrs: []string{"/run/redis@1.sock"}, DB: 4}},
		{"redis://cache?client_name=me@here", opened{Kind: "single", Addrs: []string{"cache:6379"}}},
		{ // the user before the @ is the Sentinels'
			"redis://su:sp@s1:26379/5?master_name=mymaster&addr=s2:26379&addr=s3:26379&username=u&password=p",
			opened{Kind: "sentinel", User: "u", Password: "p", DB: 5},
		},
		{
			"rediss://u:p@n1:7000?addr=n2:7001&addr=n3:7002",
			opened{Kind: "cluster", Addrs: []string{"n1:7000", "n2:7001", "n3:7002"}, User: "u", Password: "p",
				TLS: true},
		},
	} {
		c, err := cache.Open(jobs.NewSecret(tt.url))
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if diff := cmp.Diff(tt.want, asOpened(c)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.url, diff)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: close: %v", tt.url, err)
		}
	}
}

func asOpened(c redis.UniversalClient) opened {
	switch c := c.(type) {
	case *redis.ClusterClient:
		o := c.Options()
		return opened{Kind: "cluster", Addrs: o.Addrs, User: o.Username, Password: o.Password, TLS: o.TLSConfig != nil}
	case *redis.Client:
		o := c.Options()
		got := opened{Kind: "single", Addrs: []string{o.Addr}, User: o.Username, Password: o.Password, DB: o.DB,
			TLS: o.TLSConfig != nil}
		if o.Addr == "FailoverClient" { // a Sentinel names the server only when it is asked
			got.Kind, got.Addrs = "sentinel", nil
		}
		return got
	}
	return opened{}
}

// Whatever is wrong with a URL, the error says what, and prints no password.
func TestOpenErrors(t *testing.T) {
	const p = "hunter2"
	for _, tt := range []struct{ url, want string }{
		{"", "scheme"},
		{"http://u:" + p + "@cache", "http"},
		{"u:" + p + "@cache:6379", "scheme"},
		{":" + p + "@cache:6379", "does not parse"},
		{p + "@cache:6379", "does not parse"},
		{"redis://u:" + p + "@cache:port", "does not parse"},
		{"redis://u:" + p + "@cache/\x7f", "does not parse"},
		{"redis://u:" + p + "@cache/zero", `database number: "zero"`},
		{"redis://u:" + p + "@cache/0/1", "path"},
		{"redis://u:" + p + "@cache?pool=7", "option: pool"},
		{"redis://u:" + p + "@cache?pool_size=many", "pool_size"},
		{"redis://cache?password=" + p, "option: password"},
		{"redis://u:" + p + "@s1?master_name=m&addr=nowhere", "addr"},
		{"http://u:" + p + "@s1?master_name=m", "http"},
		{"redis://u:" + p + "@n1:7000?addr=nowhere", "addr"},
		{"http://u:" + p + "@n1?addr=n2:7000", "http"},
		// A password with characters that end a URL's host, and addresses with one.
		{"redis://u:1/" + p + "@cache", "%2F"},
		{"redis://u:1?" + p + "@cache", "%3F"},
		{"redis://u:1#" + p + "@cache", "%23"},
		{"redis://u:x/" + p + "@cache", "does not parse"},
		{"redis://n1?addr=u:" + p + "@n2:7000", "@"},
		{"redis://n1?addr=" + p + "@n2:7000", "@"},
		{"redis://s1?master_name=m&addr=redis://:" + p + "@s2:7000", "@"},
	} {
		c, err := cache.Open(jobs.NewSecret(tt.url))
		if err == nil {
			c.Close()
			t.Errorf("%s: no error", tt.url)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), p) ||
			!strings.Contains(strings.ToLower(err.Error()), "redis") {
			t.Errorf("%s: %q; want an error of redis with %q and without the password", tt.url, err, tt.want)
		}
	}
}

func TestInspect(t *testing.T) {
	r := storetest.OwnRedis(t, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
	c := client(t, r.URL(0))
	found, err := info.Inspect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if found.Policy != "allkeys-lru" || found.MaxMemory != 64<<20 || !found.Evicts() {
		t.Errorf("%+v", found)
	}
	if !found.AtLeast(6, 2) || found.AtLeast(100, 0) || found.Version == "" {
		t.Errorf("version %q", found.Version)
	}
	if err := c.Do(t.Context(), "acl", "setuser", "limited", "on", ">pw", "~*", "+@all", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	limited := client(t, "redis://limited:pw@"+r.Addr())
	if found, err = info.Inspect(t.Context(), limited); err != nil || found != (info.Server{}) {
		t.Errorf("without the right to INFO: %+v, %v", found, err)
	}
	refused := client(t, "redis://limited:wrong@"+r.Addr())
	if _, err := info.Inspect(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "reach redis") {
		t.Errorf("with a wrong password: %v", err)
	}
	c.Close()
	if _, err := info.Inspect(t.Context(), c); err == nil {
		t.Error("inspected through a closed client")
	}
}
