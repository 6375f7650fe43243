package connurl_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// Whatever other libraries take, the problem names the form that works here, at its place and without the text of the
// URL. Broken by: a scheme that is left to "is not a Redis URL".
func TestOtherFormsOfRedisURLs(t *testing.T) {
	const p = "hunter2"
	sentinel, cluster, socket, tls := "?master_name=", "?addr=", "unix:///", "rediss://"
	for url, want := range map[string]string{
		"redis+sentinel://:" + p + "@host:26379/mymaster/0": sentinel,
		"redis-sentinel://host:26379?sentinelMasterId=m":    sentinel,
		"sentinel://:" + p + "@host:26379/0":                sentinel,
		"rediss+sentinel://host:26379/m":                    sentinel,
		"redis+sentinels://host:26379/m":                    sentinel,
		"REDIS+SENTINEL://host/m":                           sentinel,
		"redis+sentinel+ssl://host/m":                       sentinel,
		"valkey+sentinel://host/m":                          sentinel,
		"redis+cluster://:" + p + "@host:6379":              cluster,
		"rediscluster://host:6379":                          cluster,
		"redis-cluster://host:6379":                         cluster,
		"rediss+cluster://host:6379":                        cluster,
		"redis+unix:///run/redis.sock":                      socket,
		"redis-socket:///run/redis.sock":                    socket,
		"redis+socket://:" + p + "@/run/redis.sock":         socket,
		"unix:/run/redis.sock":                              socket,
		"valkey://:" + p + "@host:6379":                     "redis://host:6379",
		"valkeys://host:6379":                               tls,
		"redis+ssl://host:6379":                             tls,
		"redis+tls://host:6379":                             tls,
		"tcp://host:6379":                                   "redis://host:6379",
		"https://eu1-x.upstash.io":                          "REST",
		"redis://:" + p + "@a:6379,b:6379/0":                "?addr=",
		"redis://a,b,c/0":                                   "?addr=",
		"redis://host:26379?sentinel_password=" + p:         "before the @",
		"redis://host:26379?mastername=m":                   sentinel,
		"redis://host:6379?ssl=true":                        tls,
		"redis://host:6379?ssl_cert_reqs=none":              "skip_verify=true",
		"host:6379":                                         "redis://host:6379/0",
		"memcached://host":                                  "redis://host:6379/0",
	} {
		_, err := connurl.ParseRedis(url)
		if err == nil {
			t.Errorf("%s is taken", url)
			continue
		}
		file := filepath.Join(t.TempDir(), "stoker.yaml")
		text := "postgres: {url: \"postgres://localhost/x\"}\nredis:\n  url: \"" + url +
			"\"\njobs:\n  - {name: a, query: " +
			"SELECT 1 AS id, key: \"a:{id}\"}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = specfile.Load(file, func(string) (string, bool) { return "", false })
		problems, _ := errors.AsType[jobs.Problems](err)
		if len(problems) != 1 || !strings.Contains(problems[0].Hint, want) {
			t.Errorf("%s: %v", url, problems)
			continue
		}
		if got := problems[0]; got.Line != 3 || strings.Contains(got.String(), p) {
			t.Errorf("%s: %v", url, got)
		}
	}
	for _, url := range []string{"redis://", "redis://host", "rediss://u:p@host:1/2?skip_verify=true",
		"unix:///run/r.sock?db=1",
		"redis://:p@s1:26379?master_name=m&password=q&addr=s2:26379", "redis://n1?addr=n2:7000&max_retries=2"} {
		if _, err := connurl.ParseRedis(url); (err == nil) != (url != "redis://") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
