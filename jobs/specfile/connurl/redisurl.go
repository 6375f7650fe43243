package connurl

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/stokerhq/stoker/jobs"
)

const redisURLHint = "write redis://host:6379/0, rediss:// for TLS, or unix:///path"

// What to write for the kinds of servers that other libraries give a scheme of their own.
const (
	sentinelHint = "?master_name= makes it a Sentinel's: write redis://host:26379/0?master_name=NAME (rediss:// " +
		"for TLS), " +
		"more Sentinels as &addr=host:26379, and the password of the Redis behind them as &password="
	clusterHint = "?addr= makes it a Cluster's: write redis://node-1:6379?addr=node-2:6379 (rediss:// for TLS)"
	socketHint  = "write unix:///path/of/redis.sock?db=0"
	tlsHint     = "write rediss://host:6379/0"
	plainHint   = "write redis://host:6379/0: it is the same protocol"
)

// otherSchemes are those of other libraries, without their marks of TLS and sockets.
var otherSchemes = map[string]string{
	"redis+sentinel": sentinelHint, "redis-sentinel": sentinelHint, "redissentinel": sentinelHint,
	"sentinel": sentinelHint, "valkey+sentinel": sentinelHint, "valkey-sentinel": sentinelHint,
	"redis+cluster": clusterHint, "redis-cluster": clusterHint, "rediscluster": clusterHint, "cluster": clusterHint,
	"valkey+cluster": clusterHint, "valkey-cluster": clusterHint, "valkeycluster": clusterHint,
	"redis+unix": socketHint, "redis+socket": socketHint, "redis-socket": socketHint, "unix+redis": socketHint,
	"socket": socketHint, "valkey+unix": socketHint, "valkey+socket": socketHint,
	"redis+ssl": tlsHint, "redis+tls": tlsHint, "rediss+ssl": tlsHint, "valkeys": tlsHint, "ssl": tlsHint,
	"tls":    tlsHint,
	"valkey": plainHint, "redis+tcp": plainHint, "tcp": plainHint, "keydb": plainHint, "dragonfly": plainHint,
	"redis+srv": "write redis://host:6379/0 with the name of a host: SRV records are not looked up",
	"https":     "write redis://host:6379/0: a REST address of a Redis service is not its Redis address",
}

// otherRedisForm returns what to write instead of a scheme that is another library's.
func otherRedisForm(scheme string) (hint string, known bool) {
	scheme = strings.ToLower(scheme)
	for _, name := range []string{scheme, strings.TrimSuffix(scheme, "s"),
		strings.Replace(scheme, "rediss", "redis", 1),
		strings.TrimSuffix(strings.TrimSuffix(scheme, "+ssl"), "+tls")} {
		if hint, known = otherSchemes[name]; known {
			return hint, true
		}
	}
	switch { // redis+sentinel+ssl, redis+asyncio+cluster
	case strings.Contains(scheme, "sentinel"):
		return sentinelHint, true
	case strings.Contains(scheme, "cluster"):
		return clusterHint, true
	case strings.Contains(scheme, "unix") || strings.Contains(scheme, "socket"):
		return socketHint, true
	}
	return redisURLHint, false
}

// ParseRedis refuses what is plainly not a Redis URL, and says how another library's form is written here. The
// error never holds the text.
func ParseRedis(s string) (jobs.Secret, error) {
	if err := notFilledIn(s); err != nil {
		return jobs.Secret{}, err
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return jobs.Secret{}, wrong("is a Redis URL with a line break in it", "write it in one line")
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok && strings.HasPrefix(strings.ToLower(s), "unix:/") {
		return jobs.Secret{}, wrong("is not a Redis URL", socketHint)
	}
	if hint, known := otherRedisForm(scheme); ok && known && scheme != "unix" {
		return jobs.Secret{}, wrong("is a URL of the scheme "+scheme+"://, which is not one of Stoker's", hint)
	}
	if !ok || scheme != "redis" && scheme != "rediss" && scheme != "unix" {
		return jobs.Secret{}, wrong("is not a Redis URL", redisURLHint)
	}
	u, err := url.Parse(s)
	if err != nil {
		if hosts, _, _ := strings.Cut(rest[strings.LastIndex(rest, "@")+1:], "/"); strings.Contains(hosts, ",") {
			return jobs.Secret{}, severalHosts()
		}
		return jobs.Secret{}, wrong("is a malformed Redis URL",
			"special characters in a password must be percent-encoded")
	}
	if strings.Contains(u.Host, ",") {
		return jobs.Secret{}, severalHosts()
	}
	if scheme == "unix" && u.Path == "" || scheme != "unix" && u.Hostname() == "" {
		return jobs.Secret{}, wrong("is a Redis URL without a host", redisURLHint)
	}
	return jobs.NewSecret(s), checkRedisQuery(u)
}

func severalHosts() error {
	return wrong("is a Redis URL with several hosts",
		"name one, and the others as ?addr=host:6379&addr=host:6379 of a "+
			"Cluster, or ?master_name=NAME&addr=host:26379 of Sentinels")
}

// otherParameters are what other libraries call a parameter of the URL.
var otherParameters = map[string]string{
	"mastername": sentinelHint, "master": sentinelHint, "sentinelmasterid": sentinelHint, "service_name": sentinelHint,
	"servicename": sentinelHint, "master_set": sentinelHint, "sentinel": sentinelHint, "sentinels": sentinelHint,
	"sentinel_password": "the password of the Sentinels stands before the @, as in " +
		"redis://:SENTINEL_PASSWORD@host:26379?master_name=NAME&password=REDIS_PASSWORD",
	"sentinel_username": "user and password of the Sentinels stand before the @, as in " +
		"redis://USER:PASSWORD@host:26379?master_name=NAME",
	"cluster": clusterHint, "cluster_mode": clusterHint, "startup_nodes": clusterHint,
	"ssl": tlsHint, "tls": tlsHint, "use_ssl": tlsHint, "usetls": tlsHint,
	"ssl_cert_reqs": "write rediss://host:6379/0?skip_verify=true if the certificate is not to be checked",
	"database":      "the number of the database is the path: redis://host:6379/2",
}

// checkRedisQuery refuses a parameter that another library knows. What is left, go-redis refuses by name.
func checkRedisQuery(u *url.URL) error {
	for name := range u.Query() {
		if hint, is := otherParameters[strings.ToLower(name)]; is {
			return wrong("has the parameter "+name+", which is another library's", hint)
		}
	}
	return nil
}
