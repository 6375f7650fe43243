package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxForm is more than a token and a path need.
const maxForm = 16 << 10

type loginView struct {
	Next  string
	Error string
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request) {
	if s.auth == nil || s.auth.judge(r) == allowed {
		http.Redirect(w, r, safeNext(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	s.render(w, http.StatusOK, "login.html", loginView{Next: safeNext(r.URL.Query().Get("next"))})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next := safeNext(r.PostFormValue("next"))
	if s.auth == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	switch s.auth.try(r.RemoteAddr, token) {
	case allowed:
		http.SetCookie(w, s.newSessionCookie(r, s.auth.newSession(time.Now().Add(sessionTime)), sessionTime))
		http.Redirect(w, r, next, http.StatusSeeOther)
	case tooMany:
		s.refuseGuesser(w, r)
	default:
		s.log.Warn("login with a wrong token", "remote", r.RemoteAddr)
		s.render(w, http.StatusUnauthorized, "login.html", loginView{
			Next:  next,
			Error: "This is not the token. It is the value of admin.token in the spec.",
		})
	}
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.newSessionCookie(r, "", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// newSessionCookie returns a cookie that scripts cannot read and other sites
// cannot send. It is marked Secure wherever the browser came by TLS, also when
// a proxy in front of us ended it.
func (s *Server) newSessionCookie(r *http.Request, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: s.link("/"), MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

// loginURL brings a browser to the form and back to where it was going. A form
// that was sent cannot be sent again by a link, so that goes back to the page.
func loginURL(r *http.Request) string {
	if r.Method != http.MethodGet || r.URL.Path == "/" {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(r.URL.RequestURI())
}

// safeNext keeps a crafted link from sending a visitor to another site after
// the login: only a path of ours is followed.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || u.Path == "/login" {
		return "/"
	}
	return next
}
