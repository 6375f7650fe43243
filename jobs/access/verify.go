package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Check is how far a server's certificate is looked at.
type Check int

// From nothing to everything.
const (
	CheckNothing   Check = iota // it is encrypted, whoever is at the other end
	CheckAuthority              // a known authority has signed it
	CheckName                   // and it is for the server that is dialled
)

// Handshake is one TLS connection in the making: its configuration, and what is needed to say why it failed.
type Handshake struct {
	Config *tls.Config

	certs *Certs
	ours  *tls.Certificate
	asked atomic.Bool // the server has asked for our certificate
}

// Handshake reads the files again and returns what one connection needs. names are those that the server's certificate
// may be for, where the spec has no server_name; the first is told to the server.
func (c *Certs) Handshake(check Check, names ...string) (*Handshake, error) {
	m, err := c.load()
	if err != nil {
		return nil, err
	}
	if c.names.ServerName != "" {
		names = []string{c.names.ServerName}
	}
	if check == CheckName && len(names) == 0 {
		return nil, errNoNames
	}
	h := &Handshake{certs: c, ours: m.ours}
	h.Config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// verify does it, whose errors say what to do.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if check == CheckNothing {
				return nil
			}
			return c.verify(s.PeerCertificates, m.roots, check, names)
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.asked.Store(true)
			if m.ours == nil {
				return &tls.Certificate{}, nil
			}
			return m.ours, nil
		},
	}
	if len(names) > 0 && net.ParseIP(names[0]) == nil {
		h.Config.ServerName = names[0]
	}
	return h, nil
}

// CertError is what is wrong with the certificate of a server.
type CertError struct{ Message, Hint string }

// Error names what is wrong, and what to do.
func (e *CertError) Error() string {
	return "the server's certificate " + e.Message + " (" + e.Hint + ")"
}

// verify looks at what a server has shown.
func (c *Certs) verify(shown []*x509.Certificate, roots *x509.CertPool, check Check, names []string) error {
	if len(shown) == 0 {
		return &CertError{"is missing: it has shown none", "is this the right port?"}
	}
	leaf := shown[0]
	if why := current(leaf, time.Now()); why != "" {
		return &CertError{why, "renew the certificate of the server, and look at the clocks of both machines"}
	}
	between := x509.NewCertPool()
	for _, cert := range shown[1:] {
		between.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return c.untrusted(leaf, err)
	}
	if check < CheckName {
		return nil
	}
	for _, name := range names {
		if leaf.VerifyHostname(name) == nil {
			return nil
		}
	}
	return &CertError{"is for " + namesOf(leaf) + ", and the server was dialled as " + strings.Join(names, " or "),
		"write the name that it is for into the URL, or as " + c.field + ".server_name"}
}

// untrusted says why a certificate has no authority that we know.
func (c *Certs) untrusted(leaf *x509.Certificate, err error) error {
	known := "not one that this machine trusts"
	hint := "give the authority's own certificate as " + c.field + ".ca_file"
	if c.names.CAFile != "" {
		known = "not one of " + c.field + ".ca_file"
		hint = "write the certificate of that authority into " + c.names.CAFile +
			", or have the server send those in between"
	}
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		if leaf.Issuer.String() == leaf.Subject.String() && leaf.CheckSignatureFrom(leaf) == nil {
			return &CertError{"is signed by itself (" + leaf.Subject.String() + "), and " + known, hint}
		}
		return &CertError{"is signed by an unknown authority, " + leaf.Issuer.String() + ": " + known, hint}
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is {
		switch {
		case invalid.Reason == x509.Expired && invalid.Cert != nil:
			return &CertError{"is signed by " + invalid.Cert.Subject.String() + ", whose own certificate " +
				current(invalid.Cert, time.Now()), "renew the authority's certificate"}
		case invalid.Reason == x509.IncompatibleUsage:
			return &CertError{"is not made for servers", "have one issued with the extended key usage serverAuth"}
		}
	}
	return &CertError{"does not hold: " + strings.TrimPrefix(err.Error(), "x509: "), hint}
}

// namesOf are the names that a certificate is for.
func namesOf(cert *x509.Certificate) string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	const most = 5
	switch {
	case len(names) == 0:
		return "no name (a common name, here " + cert.Subject.CommonName + ", does not count: names are " +
			"subjectAltName's)"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
