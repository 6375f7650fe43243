package specfile

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// What is refused is pinned in testdata/units.bad.want.
func TestUnits(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "1.5d": 36 * time.Hour,
		"1d12h": 36 * time.Hour, "-1d12h": -36 * time.Hour, "0": 0, "0d": 0, "2d1ms": 48*time.Hour + time.Millisecond,
	} {
		if got, err := jobs.ParseDuration(in); err != nil || got != want {
			t.Errorf("duration %s = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]int{
		"1024": 1024, "1B": 1, "64KiB": 65536, "16MiB": 16 << 20, "1GiB": 1 << 30, "2KB": 2000, "3 MB": 3e6, "1gb": 1e9,
	} {
		if got, err := parseBytes(in); err != nil || got != want {
			t.Errorf("size %s = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]float64{"0": 0, "0%": 0, "10%": 0.1, "12.5 %": 0.125, "100%": 1} {
		if got, err := parseJitter(in); err != nil || got != want {
			t.Errorf("jitter %s = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]time.Duration{"0": 0, "0s": 0, "1ms": time.Millisecond, "30s": 30 * time.Second,
		"1d": 24 * time.Hour} {
		if got, err := parseGrace(in); err != nil || got != want {
			t.Errorf("grace %s = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "d", "1dd", "1d+1h", "1e3d", "x1d", "infd", "1d2"} {
		if got, err := jobs.ParseDuration(in); err == nil {
			t.Errorf("duration %q = %v, want an error", in, got)
		}
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 10 * time.Second: "10s",
		20*time.Hour + 5*time.Minute: "20h5m",
	} {
		if got := short(in); got != want {
			t.Errorf("short(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.com:80": false,
		"localhost.evil:80": false,
	} {
		if got := isLocal(listen); got != want {
			t.Errorf("isLocal(%s) = %v", listen, got)
		}
	}
}

func TestConnectionStrings(t *testing.T) {
	for _, good := range []string{"postgres://db/shop", "postgresql://u:p@h1:1,h2:2/x", "postgres:///x?host=/run",
		"host=db", "dbname = x host = y"} {
		if s, err := connurl.ParsePostgres(good); err != nil || s.Reveal() != good {
			t.Errorf("Postgres URL %s: %v", good, err)
		}
	}
	for _, good := range []string{"redis://c", "rediss://u:p@c:6380/1?addr=d:1", "redis://[::1]:6379",
		"unix:///run/r.sock?db=1"} {
		if s, err := connurl.ParseRedis(good); err != nil || s.Reveal() != good {
			t.Errorf("Redis URL %s: %v", good, err)
		}
	}
	for _, bad := range []string{"db", "=x", "http://h/?a=b", "user@host=x"} {
		if _, err := connurl.ParsePostgres(bad); err == nil {
			t.Errorf("Postgres URL %s is taken", bad)
		}
	}
	for _, bad := range []string{"c:6379", "redis:c", "redis://", "redis://:6379", "unix://", "http://c"} {
		if _, err := connurl.ParseRedis(bad); err == nil {
			t.Errorf("Redis URL %s is taken", bad)
		}
	}
}
