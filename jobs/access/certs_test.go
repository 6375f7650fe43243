package access_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/store/storetest"
)

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each way in which a file of certificates is wrong has its own words, and names its field. Broken by: a ca_file of
// which AppendCertsFromPEM takes what it can; a pair that is not held together.
func TestWrongFilesOfCertificates(t *testing.T) {
	ca := storetest.NewAuthority(t, "ours")
	one, two := ca.Issue("one", nil), ca.Issue("two", nil)
	old := ca.Issue("old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	young := ca.Issue("young", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	block, _ := pem.Decode([]byte(contents(t, one.CertFile)))
	text := contents(t, one.CertFile)
	locked := file(t, "locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	legacy := file(t, "legacy", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"+
		"AAAA\n-----END RSA PRIVATE KEY-----\n")
	of := func(cert, key string) jobs.TLS { return jobs.TLS{CertFile: cert, KeyFile: key} }
	for _, tt := range []struct {
		tls  jobs.TLS
		want string
	}{
		{jobs.TLS{CAFile: "/no/such"}, "redis.tls.ca_file /no/such does not exist"},
		{jobs.TLS{CAFile: file(t, "e", "\n")}, "ca_file * is empty"},
		{jobs.TLS{CAFile: one.KeyFile}, "ca_file * holds a private key, and no certificate"},
		{jobs.TLS{CAFile: file(t, "d", string(block.Bytes))}, "ca_file * is a certificate in DER form"},
		{jobs.TLS{CAFile: file(t, "b", text[:len(text)/2])}, "ca_file * is broken PEM"},
		{jobs.TLS{CAFile: file(t, "n", "no pem")}, "ca_file * is no PEM file"},
		{jobs.TLS{CAFile: file(t, "c", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
			"ca_file * has a certificate that cannot be read"},
		{jobs.TLS{CAFile: file(t, "p", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")},
			"ca_file * holds PUBLIC KEY, and no certificate"},
		{of(one.CertFile, two.KeyFile), "key_file * does not fit the certificate of cert_file"},
		{of(one.CertFile, "/no/such"), "key_file /no/such does not exist"},
		{of(one.CertFile, two.CertFile), "key_file * holds a certificate, and no private key"},
		{of(one.KeyFile, one.CertFile), "cert_file * holds a private key, and no certificate"},
		{of(one.CertFile, locked), "key_file * is protected by a password"},
		{of(one.CertFile, legacy), "key_file * is protected by a password"},
		{of(old.CertFile, old.KeyFile), "cert_file * has expired on"},
		{of(young.CertFile, young.KeyFile), "cert_file * is not valid before"},
	} {
		err := access.CheckCerts("redis.tls", tt.tls)
		before, after, _ := strings.Cut(tt.want, "*")
		if err == nil || !strings.Contains(err.Error(), before) || !strings.Contains(err.Error(), after) {
			t.Errorf("%+v: %v, want %s", tt.tls, err, tt.want)
		}
	}
	good := of(one.CertFile, one.KeyFile)
	if err := access.CheckCerts("redis.tls", good); err != nil {
		t.Error(err)
	}
}

// dialled makes one TLS connection with a server of a certificate, and reads what it says.
func dialled(t *testing.T, names jobs.TLS, host string, server *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	defer func() { _ = l.Close(); <-done }()
	h, err := access.NewCerts("redis.tls", names).Handshake(access.CheckName, host)
	if err != nil {
		return err
	}
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	n, err := tls.Client(raw, h.Config).Read(make([]byte, 5))
	if n == 5 { // with the end of the connection, perhaps
		return nil
	}
	return h.Explain(err)
}

// Each way in which a certificate is wrong at the handshake has its own words, with TLS 1.2 and 1.3. Broken by: a
// verify without names, without its authorities, or without the clock; an Explain that returns what Go says.
func TestWrongCertificates(t *testing.T) {
	ca, other := storetest.NewAuthority(t, "ours"), storetest.NewAuthority(t, "theirs")
	good := ca.Issue("good", nil)
	hour := time.Hour
	trust := jobs.TLS{CAFile: ca.CAFile}
	client := jobs.TLS{CAFile: ca.CAFile, CertFile: good.CertFile, KeyFile: good.KeyFile}
	stranger := other.Issue("stranger", nil)
	unknown := jobs.TLS{CAFile: ca.CAFile, CertFile: stranger.CertFile, KeyFile: stranger.KeyFile}
	forServers := ca.Issue("for-servers", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	unfit := jobs.TLS{CAFile: ca.CAFile, CertFile: forServers.CertFile, KeyFile: forServers.KeyFile}
	named := func(name string) jobs.TLS { n := trust; n.ServerName = name; return n }
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(contents(t, ca.CAFile)))
	for name, tt := range map[string]struct {
		tls    jobs.TLS
		host   string
		server storetest.Pair
		asks   bool
		want   string // "": it works
	}{
		"good":        {trust, "127.0.0.1", good, false, ""},
		"good name":   {trust, "localhost", good, false, ""},
		"mutual":      {client, "localhost", good, true, ""},
		"server_name": {named("localhost"), "10.0.0.1", good, false, ""},
		"expired": {trust, "localhost", ca.Issue("x", func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-hour / 2)
		}), false,
			"has expired on"},
		"young": {trust, "localhost", ca.Issue("y", func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(hour)
		}), false,
			"is not valid before"},
		"authority": {trust, "localhost", stranger, false,
			"is signed by an unknown authority, CN=theirs: not one of redis.tls.ca_file"},
		"no ca_file": {jobs.TLS{ServerName: "localhost"}, "localhost", good, false,
			"not one that this machine trusts"},
		"host": {trust, "redis.internal", good, false,
			"is for localhost, 127.0.0.1, and the server was dialled as redis.internal"},
		"address": {trust, "10.0.0.1", good, false, "dialled as 10.0.0.1"},
		"no names": {trust, "localhost", ca.Issue("z", func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = nil, nil
		}), false,
			"is for no name (a common name, here z, does not count"},
		"not a server": {trust, "localhost", ca.Issue("c", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), false,
			"is not made for servers"},
		"none given": {trust, "localhost", good, true,
			"the server asks for a client certificate, and none was given: set redis.tls.cert_file"},
		"unknown": {unknown, "localhost", good, true, "has signed redis.tls.cert_file, CN=theirs"},
		"unfit":   {unfit, "localhost", good, true, "redis.tls.cert_file (CN=for-servers)"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			pair, err := tls.LoadX509KeyPair(tt.server.CertFile, tt.server.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, MaxVersion: version}
			if tt.asks {
				server.ClientAuth = tls.RequireAndVerifyClientCert
			}
			err = dialled(t, tt.tls, tt.host, server)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s, TLS %x: %v, want %q", name, version, err, tt.want)
			}
		}
	}
}
