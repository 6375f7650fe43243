// Package access reads what the servers of a spec are logged in to with: secrets that lie in files, and certificates.
// Both are read again at each new connection, so that whoever replaces them need not start Stoker again. It also finds
// the words for what is wrong with a certificate.
//
//	url_file, password_file ─▶ Login.Next ─▶ a connection string ─▶ the driver, at each new connection
//	ca_file, cert_file, ... ─▶ TLS        ─▶ a tls.Config        ─▶ the handshake ─▶ Explain
package access

import "github.com/stokerhq/stoker/jobs"

// wrong returns a mistake with the step that mends it.
func wrong(message, hint string) error { return &jobs.Mistake{Message: message, Hint: hint} }
