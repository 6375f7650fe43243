package web

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/stokerhq/stoker/jobs"
)

// CheckListen refuses an admin listener that other machines can reach without a
// token.
func CheckListen(admin jobs.Admin) error {
	host, _, err := net.SplitHostPort(admin.Listen)
	if err != nil {
		return fmt.Errorf("admin.listen %q is not host:port: write it as 127.0.0.1:8080: %w", admin.Listen, err)
	}
	if admin.Token.IsZero() && !jobs.IsLoopback(host) {
		return fmt.Errorf("admin.listen %s can be reached from other machines and admin.token is empty: "+
			"set admin.token, or listen on 127.0.0.1", admin.Listen)
	}
	return nil
}

// checkBound is CheckListen for the address a listener really has.
func checkBound(addr net.Addr, admin jobs.Admin) error {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !admin.Token.IsZero() || tcp.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("the admin listener on %s can be reached from other machines and admin.token is empty: "+
		"set admin.token, or listen on 127.0.0.1", addr)
}

// loopbackOnly is the name gate. Without a token, whoever reaches the listener
// is believed; a page on the internet would reach it through the visitor's own
// browser by pointing its name at 127.0.0.1 (DNS rebinding), which only the Host
// header gives away.
func (s *Server) loopbackOnly(next http.Handler) http.Handler {
	listen, _, _ := net.SplitHostPort(s.cfg.Spec.Admin.Listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := requestHost(r)
		if isProbe(r) || jobs.IsLoopback(host) || host == strings.ToLower(listen) {
			next.ServeHTTP(w, r)
			return
		}
		s.refuse(w, r, http.StatusForbidden, fmt.Sprintf(
			"without admin.token this listener answers only to localhost and loopback addresses, not to %q: "+
				"open it as http://localhost, or set admin.token", r.Host))
	})
}

// requestHost is the Host header without its port, in lower case.
func requestHost(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isProbe reports whether r is what an orchestrator asks, by whatever name.
func isProbe(r *http.Request) bool {
	return r.URL.Path == "/livez" || r.URL.Path == "/readyz" || r.URL.Path == "/warmz"
}
