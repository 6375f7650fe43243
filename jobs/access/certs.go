package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Certs are the certificates that the spec names for a server. It is safe for concurrent use.
type Certs struct {
	names jobs.TLS
	field string // that has them: redis.tls

	mu       sync.Mutex
	good     *material // as they could last be read
	troubled bool      // they cannot be read, and it has been said
}

// material is what the files hold.
type material struct {
	roots *x509.CertPool   // nil: the system's
	ours  *tls.Certificate // nil: none
}

// NewCerts returns the certificates of a field.
func NewCerts(field string, t jobs.TLS) *Certs { return &Certs{names: t, field: field} }

// CheckCerts reads the files as a connection will. The error is a FileError.
func CheckCerts(field string, t jobs.TLS) error {
	_, err := NewCerts(field, t).read()
	return err
}

// load reads the files again. What cannot be read now, as while a certificate and its key are being replaced, leaves
// what they held before.
func (c *Certs) load() (*material, error) {
	now, err := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && c.troubled:
		Logger().Info("the certificates can be read again", "field", c.field)
	case err != nil && c.good == nil:
		return nil, err
	case err != nil && !c.troubled:
		Logger().Warn("certificates cannot be read again: connections are made with what they were before", jobs.LogErr,
			err)
	}
	if c.troubled = err != nil; !c.troubled {
		c.good = now
	}
	return c.good, nil
}

// largestPEM is how many bytes a file of certificates may have: the system's bundle has 200 KB.
const largestPEM = 4 << 20

func (c *Certs) read() (*material, error) {
	m := &material{}
	if c.names.CAFile != "" {
		data, err := readFile(c.names.CAFile, largestPEM)
		if err == nil {
			m.roots, err = authorities(data)
		}
		if err != nil {
			return nil, &FileError{c.field + ".ca_file", c.names.CAFile, err}
		}
	}
	if c.names.CertFile == "" {
		return m, nil
	}
	cert, err := readFile(c.names.CertFile, largestPEM)
	if err == nil {
		_, err = certificates(cert)
	}
	if err != nil {
		return nil, &FileError{c.field + ".cert_file", c.names.CertFile, err}
	}
	key, err := readFile(c.names.KeyFile, largestPEM)
	if err == nil {
		err = checkKey(key)
	}
	if err == nil {
		m.ours, err = pair(cert, key)
	}
	if err != nil {
		return nil, &FileError{c.field + ".key_file", c.names.KeyFile, err}
	}
	if err := current(m.ours.Leaf, time.Now()); err != "" {
		return nil, &FileError{c.field + ".cert_file", c.names.CertFile, wrong(err, "have it issued again")}
	}
	return m, nil
}

// authorities are the certificates of a ca_file.
func authorities(data []byte) (*x509.CertPool, error) {
	list, err := certificates(data)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool, nil
}

// blocks are the PEM blocks of a file.
func blocks(data []byte) (list []*pem.Block) {
	for {
		b, rest := pem.Decode(data)
		if b == nil {
			return list
		}
		list, data = append(list, b), rest
	}
}

func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// certificates are the certificates of a PEM file, of which there must be one.
func certificates(data []byte) (certs []*x509.Certificate, err error) {
	list := blocks(data)
	if len(list) == 0 {
		return nil, noPEM(data, "certificate")
	}
	for _, b := range list {
		if b.Type != "CERTIFICATE" && b.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, &jobs.Mistake{Message: "has a certificate that cannot be read", Detail: err.Error(),
				Hint: "`openssl x509 -text -in FILE` shows what it is"}
		}
		certs = append(certs, cert)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case slices.ContainsFunc(list, isKey):
		return nil, wrong("holds a private key, and no certificate", "name the file with -----BEGIN CERTIFICATE-----")
	}
	return nil, wrong(fmt.Sprintf("holds %s, and no certificate", list[0].Type),
		"name the file with -----BEGIN CERTIFICATE-----")
}

// noPEM says what a file without PEM is instead.
func noPEM(data []byte, what string) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return wrong("is empty", "write the "+what+" into it, as PEM")
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return wrong("is a certificate in DER form", "convert it: openssl x509 -inform der -in FILE -out FILE.pem")
	}
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return wrong("is broken PEM: a block does not end, or is not base64", "copy it again, with its line breaks")
	}
	return wrong("is no PEM file", "write the "+what+" into it as PEM, which begins with -----BEGIN")
}

// checkKey says what is wrong with a file that should hold a private key.
func checkKey(data []byte) error {
	list := blocks(data)
	if len(list) == 0 {
		return noPEM(data, "private key")
	}
	i := slices.IndexFunc(list, isKey)
	switch {
	case i < 0 && list[0].Type == "CERTIFICATE":
		return wrong("holds a certificate, and no private key", "name the file with -----BEGIN PRIVATE KEY-----")
	case i < 0:
		return wrong(fmt.Sprintf("holds %s, and no private key", list[0].Type),
			"name the file with -----BEGIN PRIVATE KEY-----")
	case list[i].Type == "ENCRYPTED PRIVATE KEY", strings.Contains(list[i].Headers["Proc-Type"], "ENCRYPTED"):
		return wrong("is protected by a password", "a daemon has nobody to ask for it: openssl pkey -in FILE -out "+
			"FILE.plain, readable by Stoker's user alone")
	}
	return nil
}

// pair puts certificate and key together.
func pair(cert, key []byte) (*tls.Certificate, error) {
	p, err := tls.X509KeyPair(cert, key)
	if err == nil {
		return &p, nil
	}
	if strings.Contains(err.Error(), "does not match") {
		return nil, wrong("does not fit the certificate of cert_file: it is another one's key",
			"cert_file begins with the certificate that was made for this key")
	}
	return nil, &jobs.Mistake{Message: "holds a key that cannot be read",
		Detail: strings.TrimPrefix(err.Error(), "tls: ")}
}

// current says in what way a certificate is not valid now; "" if it is.
func current(cert *x509.Certificate, now time.Time) string {
	const day = "2 January 2006 15:04 UTC"
	switch {
	case now.After(cert.NotAfter):
		return "has expired on " + cert.NotAfter.UTC().Format(day)
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.UTC().Format(day) + ", and the clock of this machine says " +
			now.UTC().Format(day)
	}
	return ""
}

// errNoNames is for a Config that is to check names and has none.
var errNoNames = errors.New("there is no name to check the certificate for")
