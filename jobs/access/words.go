package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Explain says why a TLS connection was not made, and what to do. An error that says so already, or is not of TLS,
// stays as it is.
func (h *Handshake) Explain(err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*CertError](err); known {
		return err
	}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return fmt.Errorf("%w: the server does not speak TLS at this port", err)
	}
	_, alert, remote := strings.Cut(err.Error(), "remote error: tls: ")
	if !remote {
		return err
	}
	if advice := h.advice(alert); advice != "" {
		return fmt.Errorf("%w (%s)", err, advice)
	}
	return err
}

// advice is about an alert with which the server ended the handshake.
func (h *Handshake) advice(alert string) string {
	file, pair := h.certs.field+".cert_file", h.certs.field+".cert_file and .key_file"
	is := func(words ...string) bool {
		for _, w := range words {
			if strings.HasPrefix(alert, w) {
				return true
			}
		}
		return false
	}
	switch {
	case is("protocol version"):
		return "the server speaks no TLS of 1.2 or newer"
	case is("unrecognized name"):
		return "the server does not serve the name " + h.Config.ServerName + ": write another as " + h.certs.field +
			".server_name"
	case h.ours == nil && (is("certificate required") || h.asked.Load()):
		return "the server asks for a client certificate, and none was given: set " + pair
	case h.ours == nil:
		return ""
	case is("unknown certificate authority"):
		return "the server does not know the authority that has signed " + file + ", " + h.ours.Leaf.Issuer.String() +
			": the server's own list of authorities must have it"
	case is("expired certificate"):
		return "the server says that " + file + " has expired; it is valid until " +
			h.ours.Leaf.NotAfter.UTC().Format(time.RFC3339) + ": look at the server's clock"
	case is("revoked certificate"):
		return "the server says that " + file + " was revoked: have a new one issued"
	case is("unsupported certificate", "bad certificate", "unknown certificate", "certificate required"):
		return "the server refuses the certificate of " + file + " (" + h.ours.Leaf.Subject.String() +
			"): is it one for clients, with the extended key usage clientAuth?"
	}
	return ""
}
