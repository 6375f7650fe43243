package rights

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/dial"
	"github.com/stokerhq/stoker/store/cache/resp"
)

// Server is what a Redis says of itself; what it does not say is "".
type Server struct {
	Version string
	Mode    string // ModeStandalone, ModeCluster or ModeSentinel
	Role    string // RoleMaster or RoleReplica
}

// Modes and roles, as HELLO names them.
const (
	ModeStandalone = "standalone"
	ModeCluster    = "cluster"
	ModeSentinel   = "sentinel"
	RoleMaster     = "master"
	RoleReplica    = "replica"
)

// askServer asks by HELLO, which needs no right; a server that does not know it may be one of before 6.0, or a proxy.
func askServer(ctx context.Context, conn *resp.Conn) (s Server, err error) {
	conn.Command("HELLO")
	if err := conn.Flush(ctx); err != nil {
		return s, err
	}
	reply, err := conn.Reply()
	if _, refused := errors.AsType[resp.Error](err); refused {
		if refusal, is := store.RefusalIn(err); is && refusal.Code != "NOPERM" {
			return s, err // NOAUTH, LOADING
		}
		return s, nil
	}
	list, _ := reply.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		text := fmt.Sprint(list[i+1])
		switch list[i] {
		case "version":
			s.Version = text
		case "mode":
			s.Mode = text
		case "role":
			s.Role = text
		}
	}
	return s, err
}

// Problem is one thing that is wrong with a Redis, and what to do.
type Problem struct {
	Fatal   bool // Stoker cannot work with it
	Message string
}

// Problems says what is wrong, for the client of a URL.
func (r Report) Problems(c redis.UniversalClient) (list []Problem) {
	fatal := func(format string, args ...any) { list = append(list, Problem{true, fmt.Sprintf(format, args...)}) }
	_, cluster := c.(*redis.ClusterClient)
	one, _ := c.(*redis.Client)
	bySentinel := one != nil && one.Options().Addr == "FailoverClient"
	switch {
	case r.Server.Mode == ModeSentinel:
		fatal("this is a Sentinel, not a Redis with data: write redis://HOST:26379?master_name=NAME, with " +
			"&username= and &password= of the Redis behind it (`redis-cli -p 26379 SENTINEL masters` lists the names)")
		return list
	case r.Server.Mode == ModeCluster && !cluster:
		fatal("this is a node of a Redis Cluster, which answers MOVED for most keys: add ?addr=HOST:PORT of any of " +
			"its " +
			"nodes to the URL, also if there is only one, as in redis://node-1:6379?addr=node-2:6379")
	case r.Server.Role == RoleReplica && !cluster && !bySentinel: // Sentinel corrects itself
		fatal("this is a replica, which takes no writes, or loses them: give the URL of the primary, or that of " +
			"Sentinel " +
			"(redis://HOST:26379?master_name=NAME), which follows a failover")
	}
	if slices.Equal(r.Commands, []string{"info"}) && len(r.Keys)+len(r.Channels) == 0 {
		list = append(list, Problem{false, "the user " + r.User + " may not send INFO: " + lostInfo + ": " + r.Grant()})
	} else if grant := r.Grant(); grant != "" {
		fatal("the user %s lacks rights: %s", r.User, grant)
	}
	if len(r.Dashboard) > 0 {
		list = append(list, Problem{false, "the user " + r.User + " lacks rights that only the pages under /queues/ " +
			"need: ACL SETUSER " + r.User + " " + strings.Join(r.Dashboard, " ")})
	}
	var lost []string
	for _, name := range r.Unknown {
		if name == "info" {
			list = append(list, Problem{false, "this server does not know INFO: " + lostInfo})
			continue
		}
		lost = append(lost, strings.ToUpper(name))
	}
	if len(lost) > 0 {
		fatal("this server does not know %s: if they were renamed (rename-command), undo that and use an ACL instead; "+
			"if a proxy is in between, give the URL of the server", strings.Join(lost, ", "))
	}
	if !r.Asked {
		list = append(list, Problem{false, "this server takes no MULTI: which rights the user has cannot be asked"})
	}
	return list
}

const lostInfo = "whether it may evict keys cannot be checked, and that it was started again from older data is " +
	"not noticed"

// Explain adds to an error of a connection what to write instead, where the URL misleads: which password is whose, and
// which form is for which kind of server.
func Explain(c redis.UniversalClient, secret jobs.Secret, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	refusal, _ := store.RefusalIn(err)
	password := refusal.Code == "NOAUTH" || refusal.Code == "WRONGPASS"
	_, cluster := c.(*redis.ClusterClient)
	var advice string
	switch atSentinel := strings.Contains(text, "all sentinels"); {
	case atSentinel && password:
		advice = "the Sentinels refuse it: the user and the password before the @ are the Sentinels'; those of the " +
			"Redis " +
			"behind them are ?username= and &password="
	case atSentinel && strings.Contains(text, "redis: nil"):
		advice = "the Sentinels know no master of this name: `redis-cli -p 26379 SENTINEL masters` lists them"
	case atSentinel && strings.Contains(text, "unknown command"):
		advice = "this is not a Sentinel: give its address, mostly port 26379, or leave ?master_name= out for a " +
			"single Redis"
	case password && strings.Contains(secret.Reveal(), "master_name="):
		advice = "the Redis behind the Sentinels refuses it: its user and password are ?username= and &password=; " +
			"those " +
			"before the @ are the Sentinels'"
	case cluster && strings.Contains(text, "cluster support disabled"):
		advice = "this is not a node of a Redis Cluster: leave ?addr= out of the URL"
	case brokenOff(err) && wantsTLS(secret):
		advice = "the server speaks TLS at this port: write rediss:// in place of redis://, and redis.tls with the " +
			"ca_file if it has an authority of its own"
	default:
		return store.WithRemedy(err)
	}
	return fmt.Errorf("%w (%s)", err, advice)
}

// brokenOff reports whether a server has hung up without a word.
func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// wantsTLS reports whether a server that a URL leads to without TLS speaks it.
func wantsTLS(secret jobs.Secret) bool {
	u, err := url.Parse(secret.Reveal())
	if err != nil || u.Scheme != "redis" {
		return false
	}
	return dial.SpeaksTLS(net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379")))
}
