package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/web/guess"
)

func TestToken(t *testing.T) {
	s, _ := newQueues(t, withToken)
	good := []string{"Authorization: Bearer " + testToken}
	tests := []struct {
		name, method, target string
		headers              []string
		status               int
		location             string
	}{
		{"no token", "GET", "/api/v1/jobs", nil, 401, ""},
		{"no token, metrics", "GET", "/metrics", nil, 401, ""},
		{"no token, warm", "POST", "/api/v1/jobs/product/warm", nil, 401, ""},
		{"no token, dashboard", "GET", "/queues/api/queues", nil, 401, ""},
		{"no token, pause", "POST", pause, nil, 401, ""},
		{"no token, unknown path", "GET", "/nope", nil, 401, ""},
		{"wrong token", "GET", "/api/v1/jobs", []string{"Authorization: Bearer x"}, 401, ""},
		{"empty token", "GET", "/api/v1/jobs", []string{"Authorization: Bearer "}, 401, ""},
		{"a prefix of it", "GET", "/api/v1/jobs", []string{"Authorization: Bearer " + testToken[:10]}, 401, ""},
		{"another scheme", "GET", "/api/v1/jobs", []string{"Authorization: Basic " + testToken}, 401, ""},
		{"token as session", "GET", "/api/v1/jobs",
			[]string{"Cookie: " + sessionCookie + "=" + url.QueryEscape(testToken)}, 401, ""},
		{"right token", "GET", "/api/v1/jobs", good, 200, ""},
		{"right token, lower case scheme", "GET", "/api/v1/jobs", []string{"authorization: bearer " + testToken}, 200,
			""},
		{"right token, dashboard", "GET", "/queues/api/queues", good, 200, ""},
		{"probes are open", "GET", "/livez", nil, 200, ""},
		{"probes are open too", "GET", "/readyz", nil, 200, ""},
		{"the form is open", "GET", "/login", []string{asBrowser}, 200, ""},
		{"its looks are open", "GET", "/static/style.css", nil, 200, ""},
		{"browser", "GET", "/", []string{asBrowser}, 303, "/login"},
		{"browser on a job", "GET", "/jobs/product?a=b", []string{asBrowser}, 303,
			"/login?next=%2Fjobs%2Fproduct%3Fa%3Db"},
		{"browser in the dashboard", "GET", "/queues/", []string{asBrowser}, 303, "/login?next=%2Fqueues%2F"},
		{"browser sends a form", "POST", "/jobs/product/warm", []string{asBrowser}, 303, "/login"},
		{"browser on the API", "GET", "/api/v1/jobs", []string{asBrowser}, 401, ""},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			remote := fmt.Sprintf("Remote: 10.0.0.%d:1", i) // guesses of one case must not spend those of another
			w := call(s, tt.method, tt.target, "", append(tt.headers, remote)...)
			wantStatus(t, w, tt.status)
			wantHeader(t, w, "Location", tt.location)
			if tt.status == 401 {
				wantHeader(t, w, "WWW-Authenticate", `Bearer realm="stoker"`)
				wantBody(t, w, `{"error":"`, "admin.token")
			}
		})
	}
}

// enter sends the login form.
func enter(s *Server, token, next string, headers ...string) *httptest.ResponseRecorder {
	form := url.Values{"token": {token}, "next": {next}}
	return call(s, "POST", "/login", form.Encode(), append(headers, asForm, asBrowser)...)
}

func sessionOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies, want 1", len(cookies))
	}
	return cookies[0]
}

func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, withToken)
		w := enter(s, "wrong", "/")
		wantStatus(t, w, http.StatusUnauthorized)
		wantBody(t, w, "This is not the token")
		if len(w.Result().Cookies()) > 0 {
			t.Error("a wrong token gets a cookie")
		}
		w = enter(s, " "+testToken+"\n", "/jobs/product")
		wantStatus(t, w, http.StatusSeeOther)
		wantHeader(t, w, "Location", "/jobs/product")
		c := sessionOf(t, w)
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.MaxAge != 12*3600 {
			t.Errorf("cookie is %v", c)
		}
		if strings.Contains(c.Value, testToken) {
			t.Error("the cookie holds the token")
		}
		cookie := "Cookie: " + c.Name + "=" + c.Value
		wantStatus(t, call(s, "GET", "/", "", cookie, asBrowser), http.StatusOK)
		wantHeader(t, call(s, "GET", "/login?next=/jobs/price", "", cookie, asBrowser), "Location", "/jobs/price")
		// another replica
		wantStatus(t, call(newServer(t, withToken), "GET", "/", "", cookie, asBrowser), http.StatusOK)

		time.Sleep(sessionTime - time.Second)
		wantStatus(t, call(s, "GET", "/api/v1/jobs", "", cookie), http.StatusOK)
		time.Sleep(time.Second)
		wantStatus(t, call(s, "GET", "/api/v1/jobs", "", cookie), http.StatusUnauthorized)
	})
}

func TestSessionForged(t *testing.T) {
	a := newServer(t, withToken).auth
	good := a.newSession(time.Now().Add(time.Hour))
	if !a.isSession(good) {
		t.Fatal("a session does not hold")
	}
	end, signature, _ := strings.Cut(good, ".")
	other := newServer(t, func(cfg *Config) {
		withToken(cfg)
		cfg.Spec.Admin.Token = newSpec(t).Postgres.URL
	}).auth
	for _, forged := range []string{
		"", ".", end, end + ".", "." + signature, "9" + end + "." + signature, end + "." + signature + "A",
		strings.ToLower(good), other.newSession(time.Now().Add(time.Hour)), a.newSession(time.Now().Add(-time.Second)),
		"x." + a.sign("x"),
	} {
		if a.isSession(forged) {
			t.Errorf("session %q is taken", forged)
		}
	}
}

func TestLoginBehindTLS(t *testing.T) {
	s := newServer(t, withToken)
	if c := sessionOf(t, enter(s, testToken, "/", "X-Forwarded-Proto: https")); !c.Secure {
		t.Error("the cookie of a TLS page is not Secure")
	}
}

func TestLogout(t *testing.T) {
	s := newServer(t, withToken)
	c := sessionOf(t, enter(s, testToken, "/"))
	w := call(s, "POST", "/logout", "", "Cookie: "+c.Name+"="+c.Value, asBrowser)
	wantStatus(t, w, http.StatusSeeOther)
	if gone := sessionOf(t, w); gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("cookie is %v, want it dropped", gone)
	}
}

// A crafted link must not lead away after the login.
func TestLoginNext(t *testing.T) {
	s := newServer(t, withToken)
	for next, want := range map[string]string{
		"/": "/", "/jobs/product?x=1": "/jobs/product?x=1", "/queues/": "/queues/",
		"": "/", "jobs": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		`\\evil.example`:      "/",
		"javascript:alert(1)": "/", "/\t/evil.example": "/", "/login": "/", "/a\r\nSet-Cookie: x=y": "/",
		"///evil.example": "/",
	} {
		w := enter(s, testToken, next)
		wantStatus(t, w, http.StatusSeeOther)
		wantHeader(t, w, "Location", want)
	}
}

func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, withToken)
		try := func(token, remote string) int {
			return call(s, "GET", "/api/v1/jobs", "", "Authorization: Bearer "+token, "Remote: "+remote).Code
		}
		cookie := sessionOf(t, enter(s, testToken, "/"))
		for i := range guess.Burst {
			if code := try("wrong", "10.0.0.1:1"); code != 401 {
				t.Fatalf("guess %d: status %d", i, code)
			}
		}
		if code := try("wrong", "10.0.0.1:2"); code != 429 {
			t.Errorf("one guess more: status %d, want 429", code)
		}
		if code := try(testToken, "10.0.0.1:3"); code != 200 {
			t.Errorf("the right token after too many: status %d: behind a proxy, a guesser would lock out everybody",
				code)
		}
		w := enter(s, "wrong", "/", "Remote: 10.0.0.1:4")
		wantStatus(t, w, http.StatusTooManyRequests)
		wantHeader(t, w, "Retry-After", "5")
		w = call(s, "GET", "/", "", "Cookie: "+cookie.Name+"="+cookie.Value, "Remote: 10.0.0.1:5", asBrowser)
		wantStatus(t, w, http.StatusOK) // who is logged in stays in
		if code := try(testToken, "10.0.0.2:1"); code != 200 {
			t.Errorf("another address: status %d", code)
		}
		time.Sleep(guess.Every)
		if code := try(testToken, "10.0.0.1:6"); code != 200 {
			t.Errorf("after a wait: status %d", code)
		}
		for range 5 * guess.Burst {
			if code := try(testToken, "10.0.0.3:1"); code != 200 {
				t.Fatalf("the right token is slowed: status %d", code)
			}
		}
	})
}
