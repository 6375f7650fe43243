package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// masterNetwork is the network of connections to the Redis behind Sentinels. go-redis has one dialer for both, and
// they have passwords and certificates of their own.
const masterNetwork = "tcp to the master"

// dialer makes the connections of one client, up to the point where they have logged in.
type dialer struct {
	login   *access.Login
	files   bool        // it logs in itself, with what files hold
	first   jobs.Secret // the URL that the client was made for
	host    string      // of it
	timeout time.Duration

	data, sentinels security
	sentinel        bool        // the URL is a Sentinel's
	moved           atomic.Bool // a url_file names other servers, and it has been said
}

// security is how connections to one kind of server are encrypted.
type security struct {
	certs *access.Certs // nil: not at all
	check access.Check
}

// newDialer returns the dialer of an endpoint, or nil where go-redis' own does the same. config is what go-redis made
// of the URL.
func newDialer(e jobs.Endpoint, timeout time.Duration, config *tls.Config) (*dialer, error) {
	if !e.Reads() && config == nil && e.TLS.IsZero() && e.SentinelTLS.IsZero() {
		return nil, nil
	}
	u, err := url.Parse(e.URL.Reveal())
	if err != nil {
		return nil, errors.New("the redis URL does not parse")
	}
	if timeout <= 0 {
		timeout = 5 * time.Second // go-redis' own
	}
	d := &dialer{login: access.NewRedis(e), files: e.Reads(), first: e.URL, host: u.Hostname(), timeout: timeout,
		sentinel: u.Query().Has("master_name")}
	check := access.CheckName
	if config != nil && config.InsecureSkipVerify { // ?skip_verify=true
		check = access.CheckNothing
	}
	if config != nil {
		d.data = security{access.NewCerts(e.Name("tls"), e.TLS), check}
		d.sentinels = d.data
	}
	switch {
	case e.SentinelTLS.Off:
		d.sentinels = security{}
	case !e.SentinelTLS.IsZero():
		d.sentinels = security{access.NewCerts(e.Name("sentinel_tls"), e.SentinelTLS), access.CheckName}
	}
	return d, nil
}

// serve makes a client connect through the dialer; nil leaves the client to go-redis' own.
func (d *dialer) serve(dial *func(context.Context, string, string) (net.Conn, error), user, password *string) {
	if d != nil {
		*dial = d.dial
		d.takeOver(user, password)
	}
}

// takeOver leaves go-redis without user and password if the dialer logs in.
func (d *dialer) takeOver(user, password *string) {
	if d.files {
		*user, *password = "", ""
	}
}

// dial is a redis.Options.Dialer.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	how, sentinel := d.data, d.sentinel && network != masterNetwork
	if sentinel {
		how = d.sentinels
	}
	if network == masterNetwork {
		network = "tcp"
	}
	var conn net.Conn
	err := d.login.Retry(ctx, isRefusal, func() (err error) {
		secret := d.login.Next()
		d.noteMove(secret)
		l := connurl.LoginOf(secret)
		user, password := l.User, l.Password
		if sentinel {
			user, password = l.SentinelUser, l.SentinelPassword
		}
		if !d.files {
			user, password = "", ""
		}
		if conn, err = d.connect(ctx, how, network, addr, user, password); err == nil {
			d.login.Proved(secret)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// noteMove says once that a url_file names other servers than those that the client was made for.
func (d *dialer) noteMove(now jobs.Secret) {
	if now == d.first || d.moved.Load() {
		return
	}
	nobody := func(s jobs.Secret) jobs.Secret {
		return connurl.WithLogin(s, connurl.RedisLogin{Sentinel: connurl.LoginOf(s).Sentinel})
	}
	if nobody(now) != nobody(d.first) && d.moved.CompareAndSwap(false, true) {
		access.Logger().Warn("url_file names another Redis now: user and password are taken, the address only when "+
			"Stoker is started again", "from", d.first.Redacted(), "to", now.Redacted())
	}
}

// connect makes one connection, and logs in.
func (d *dialer) connect(ctx context.Context, how security, network, addr, user, password string) (net.Conn, error) {
	raw, err := netDialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	conn, explain := raw, func(err error) error { return err }
	if how.certs != nil {
		conn, explain, err = d.secure(ctx, how, raw, addr)
	}
	if err == nil && (password != "" || how.certs != nil) {
		// Also without a password: with TLS 1.3 a server refuses our certificate with its first answer.
		err = explain(authenticate(conn, user, password))
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// netDialer is as go-redis' own.
var netDialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second,
	Interval: 5 * time.Second, Count: 3}}

// secure speaks TLS on a connection. explain adds to later errors what was learned in the handshake.
func (d *dialer) secure(ctx context.Context, how security, raw net.Conn, addr string) (conn net.Conn,
	explain func(error) error, err error) {
	h, err := how.certs.Handshake(how.check, d.names(addr)...)
	if err != nil {
		return nil, nil, err
	}
	c := tls.Client(raw, h.Config)
	if err := h.Explain(handshake(ctx, c, addr)); err != nil {
		return nil, nil, fmt.Errorf("speak TLS with redis at %s: %w", addr, err)
	}
	return c, h.Explain, nil
}

// names are those that the certificate of the server at addr may be for: of a Cluster and behind Sentinels, the nodes
// may be known by addresses alone, and their certificates be for the name in the URL.
func (d *dialer) names(addr string) []string {
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err != nil || host == d.host:
		return []string{d.host}
	case net.ParseIP(host) != nil && net.ParseIP(d.host) == nil:
		return []string{d.host, host}
	}
	return []string{host, d.host}
}
