package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web/guess"
)

const (
	sessionCookie = "stoker_session"
	sessionTime   = 12 * time.Hour
)

// auth knows the token and what is derived from it. It keeps no sessions: a
// session is its expiry, signed, so that it holds across restarts and replicas
// and cannot be turned back into the token.
type auth struct {
	digest  [sha256.Size]byte // of the token, so that a comparison does not tell its length
	signKey []byte
	guesses *guess.Throttle
}

func newAuth(token jobs.Secret) *auth {
	mac := hmac.New(sha256.New, []byte(token.Reveal()))
	mac.Write([]byte("stoker session key"))
	return &auth{
		digest:  sha256.Sum256([]byte(token.Reveal())),
		signKey: mac.Sum(nil),
		guesses: guess.New(),
	}
}

// isToken compares in constant time.
func (a *auth) isToken(token string) bool {
	digest := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(digest[:], a.digest[:]) == 1
}

// newSession returns the value of a session cookie that ends at expiry.
func (a *auth) newSession(expiry time.Time) string {
	end := strconv.FormatInt(expiry.Unix(), 10)
	return end + "." + a.sign(end)
}

func (a *auth) sign(text string) string {
	mac := hmac.New(sha256.New, a.signKey)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// isSession reports whether value was signed here and has not ended.
func (a *auth) isSession(value string) bool {
	end, signature, _ := strings.Cut(value, ".")
	if subtle.ConstantTimeCompare([]byte(signature), []byte(a.sign(end))) != 1 {
		return false
	}
	unix, err := strconv.ParseInt(end, 10, 64)
	return err == nil && time.Now().Before(time.Unix(unix, 0))
}

// authResult is what the token gate makes of a request.
type authResult int

const (
	allowed   authResult = iota
	anonymous            // shows neither a token nor a session that holds
	wrong                // shows a token that is not ours
	tooMany              // guesses too often; what it showed was not looked at
)

// judge looks for a bearer first, then for a session.
func (a *auth) judge(r *http.Request) authResult {
	if bearer, ok := bearerToken(r); ok {
		return a.try(r.RemoteAddr, bearer)
	}
	if c, err := r.Cookie(sessionCookie); err == nil && a.isSession(c.Value) {
		return allowed
	}
	return anonymous
}

// try judges a token that somebody shows.
func (a *auth) try(remote, token string) authResult {
	switch a.guesses.Try(remote, func() bool { return a.isToken(token) }) {
	case guess.Right:
		return allowed
	case guess.TooMany:
		return tooMany
	}
	return wrong
}

func bearerToken(r *http.Request) (string, bool) {
	scheme, value, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(value), true
}

// tokenOnly is the token gate.
func (s *Server) tokenOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOpen(r) {
			next.ServeHTTP(w, r)
			return
		}
		switch v := s.auth.judge(r); {
		case v == allowed:
			next.ServeHTTP(w, r)
		case v == tooMany:
			s.refuseGuesser(w, r)
		case v == anonymous && wantsHTML(r):
			http.Redirect(w, r, loginURL(r), http.StatusSeeOther)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="stoker"`)
			s.refuse(w, r, http.StatusUnauthorized, "this needs the token of the spec's admin.token: "+
				"send it as Authorization: Bearer TOKEN, or log in at "+s.link("/login"))
		}
	})
}

// isOpen reports whether r is answered without a token: probes, the login form
// and what the form looks like.
func isOpen(r *http.Request) bool {
	return isProbe(r) || r.URL.Path == "/login" || strings.HasPrefix(r.URL.Path, "/static/")
}

func (s *Server) refuseGuesser(w http.ResponseWriter, r *http.Request) {
	s.log.Warn("too many wrong tokens", "remote", r.RemoteAddr)
	w.Header().Set("Retry-After", strconv.Itoa(int(guess.Every.Seconds())))
	s.refuse(w, r, http.StatusTooManyRequests, "too many wrong tokens from this address: wait a few seconds, then "+
		"try again")
}
