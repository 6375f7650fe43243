// Package connector gives connections to Postgres what the files of the spec hold: host, user, password and
// certificates, as they are when the connection is made.
package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// What Postgres, or a pooler before it, says of a login that it does not take.
const (
	StateInvalidAuthorization = "28000"
	StateInvalidPassword      = "28P01"
)

// Connector gives each connection to one endpoint what the files of the spec hold when it is made: host, user and
// password, and certificates. It is safe for concurrent use.
type Connector struct {
	endpoint jobs.Endpoint
	login    *access.Login
	certs    *access.Certs // nil: as the URL says

	mu         sync.Mutex
	handshakes []*access.Handshake // of the newest connection
	moved      bool                // another database is named, and it has been said
}

// New returns what makes connections to an endpoint of the spec.
func New(e jobs.Endpoint) *Connector {
	c := &Connector{endpoint: e, login: access.NewPostgres(e)}
	if !e.TLS.IsZero() {
		c.certs = access.NewCerts(e.Name("tls"), e.TLS)
	}
	return c
}

// Connect calls fn, which makes a connection with Configure, and again while a password is being replaced.
func (c *Connector) Connect(ctx context.Context, fn func() error) error {
	return c.explain(c.login.Retry(ctx, isRefusedLogin, fn))
}

// isRefusedLogin reports whether Postgres, or a pooler before it, does not take user and password.
func isRefusedLogin(err error) bool {
	pe, is := errors.AsType[*pgconn.PgError](err)
	return is && (pe.Code == StateInvalidPassword || pe.Code == StateInvalidAuthorization)
}

// Configure sets what the files hold now.
func (c *Connector) Configure(cfg *pgconn.Config) error {
	if !c.endpoint.Reads() && c.certs == nil {
		return nil
	}
	url := c.login.Next()
	if url != c.endpoint.URL || c.certs != nil {
		fresh, err := ParseURL(c.encrypted(url))
		if err != nil {
			return err
		}
		now := &fresh.ConnConfig.Config
		c.noteMove(cfg.Database, now.Database)
		cfg.Host, cfg.Port, cfg.User, cfg.Password = now.Host, now.Port, now.User, now.Password
		cfg.TLSConfig, cfg.Fallbacks, cfg.SSLNegotiation = now.TLSConfig, now.Fallbacks, now.SSLNegotiation
	}
	if c.certs != nil {
		if err := c.secure(cfg, url); err != nil {
			return err
		}
	}
	after := cfg.AfterConnect
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		c.login.Proved(url)
		if after != nil {
			return after(ctx, conn)
		}
		return nil
	}
	return nil
}

// Reads reports whether the endpoint has files that are read for each connection.
func (c *Connector) Reads() bool { return c.endpoint.Reads() }

// encrypted is a connection string without a way to connect without TLS, where the spec has certificates.
func (c *Connector) encrypted(url jobs.Secret) jobs.Secret {
	if mode, given := connurl.Parameter(url, "sslmode"); c.certs == nil || given && checks[mode] != 0 {
		return url
	}
	return connurl.WithParameter(url, "sslmode", "verify-full")
}

// noteMove says once that a url_file names another database, which cannot be changed under what is known of it.
func (c *Connector) noteMove(before, now string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before != now && !c.moved {
		c.moved = true
		access.Logger().Warn("url_file names another database now: host, user and password are taken, the database "+
			"only when Stoker is started again", "field", c.endpoint.Name("url_file"), "from", before, "to", now)
	}
}

// checks are what the modes of libpq look at. Without one, all is looked at.
var checks = map[string]access.Check{"require": access.CheckNothing, "verify-ca": access.CheckAuthority}

// secure has each host of the connection speak TLS with the certificates of the spec.
func (c *Connector) secure(cfg *pgconn.Config, url jobs.Secret) error {
	mode, _ := connurl.Parameter(url, "sslmode")
	check, loose := checks[mode]
	switch {
	case !loose:
		check = access.CheckName
	case mode == "require" && c.endpoint.TLS.CAFile != "": // as libpq does
		check = access.CheckAuthority
	}
	var made []*access.Handshake
	config := func(host string) (*access.Handshake, error) {
		h, err := c.certs.Handshake(check, host)
		if err == nil {
			made = append(made, h)
		}
		return h, err
	}
	if !strings.HasPrefix(cfg.Host, "/") {
		h, err := config(cfg.Host)
		if err != nil {
			return err
		}
		cfg.TLSConfig = h.Config
	}
	for _, f := range cfg.Fallbacks {
		if strings.HasPrefix(f.Host, "/") {
			continue
		}
		h, err := config(f.Host)
		if err != nil {
			return err
		}
		f.TLSConfig = h.Config
	}
	c.mu.Lock()
	c.handshakes = made
	c.mu.Unlock()
	return nil
}

// explain says why a TLS connection was not made.
func (c *Connector) explain(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); strings.Contains(text, "server refused TLS connection") {
		return fmt.Errorf("%w (the server, or a pooler before it, does not speak TLS: set ssl = on there, or remove "+
			"%s and sslmode)", err, c.endpoint.Name("tls"))
	}
	c.mu.Lock()
	made := c.handshakes
	c.mu.Unlock()
	for _, h := range made {
		if explained := h.Explain(err); explained != err {
			return explained
		}
	}
	pe, is := errors.AsType[*pgconn.PgError](err)
	switch {
	case !is:
		return err
	case strings.Contains(pe.Message, "valid client certificate"):
		return fmt.Errorf("%w (the server asks for a client certificate: set %s.cert_file and .key_file)", err,
			c.endpoint.Name("tls"))
	case strings.Contains(pe.Message, "certificate authentication failed"):
		return fmt.Errorf("%w (the common name of the client certificate must be the user's name, or be mapped to it "+
			"in pg_ident.conf)", err)
	case pe.Code == StateInvalidAuthorization && strings.Contains(pe.Message, "no encryption"):
		return fmt.Errorf("%w (pg_hba.conf may want TLS: write sslmode=verify-full, and %s.ca_file if the server has "+
			"an authority of its own)", err, c.endpoint.Name("tls"))
	}
	return err
}

// CheckURL returns what the driver has against a connection string: a value that
// it does not take, a file or a service that is not there.
func CheckURL(url jobs.Secret) error {
	_, err := ParseURL(url)
	return err
}

// ParseURL is the driver's reading of a connection string. The driver's error
// repeats the string with what it takes for the password hidden; only what follows
// is kept.
func ParseURL(url jobs.Secret) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(url.Reveal())
	if e, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		said := e.Error()
		return nil, errors.New(said[strings.LastIndex(said, "`: ")+len("`: "):])
	}
	if err == nil && pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	return pc, err
}
