package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// ingress shows a Server below /stoker/, as a proxy does; everything beside that path belongs to another app.
type ingress struct {
	strips bool // it takes the path off
	rehost bool // it asks by the name of the backend, and forwards the one that it was asked by
	prefix string
}

// visitor is a browser in front of an ingress. It does not follow redirects.
type visitor struct {
	t    *testing.T
	base string // of the ingress
	c    *http.Client
}

// open starts the ingress in front of s.
func (i ingress) open(t *testing.T, s *Server) visitor {
	t.Helper()
	backend := httptest.NewServer(s.Handler())
	t.Cleanup(backend.Close)
	to, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		if !i.rehost {
			r.Out.Host = r.In.Host
			r.Out.Header.Del("X-Forwarded-Host")
		}
	}}
	var below http.Handler = proxy
	if i.strips {
		below = http.StripPrefix(i.prefix, proxy)
	}
	mux := http.NewServeMux()
	mux.Handle(i.prefix, below)
	mux.Handle(i.prefix+"/", below)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.Path+" is another application's", http.StatusTeapot)
	})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := front.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return visitor{t, front.URL, client}
}

// visit sends what a browser sends from a page of ours.
func (v visitor) visit(method, path string, form url.Values, headers ...string) (status int, location, body string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Origin", v.base)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(text)
}

// links are the addresses in a page, by attribute.
var links = regexp.MustCompile(`(?:href|src|action|url)="?=?"?(/[^"\s>]*)"`)

// crawl follows everything that a page names, and what those pages name.
func (v visitor) crawl(path, below string, seen map[string]bool) {
	v.t.Helper()
	if seen[path] {
		return
	}
	seen[path] = true
	status, location, body := v.visit("GET", path, nil)
	switch {
	case !strings.HasPrefix(path, below):
		v.t.Errorf("a page leads to %s", path)
	case status == http.StatusSeeOther || status == http.StatusTemporaryRedirect:
		v.crawl(location, below, seen)
	case status == http.StatusMethodNotAllowed: // a form's
	case status != http.StatusOK:
		v.t.Errorf("%s: status %d: %.200s", path, status, body)
	case strings.HasPrefix(body, "<"):
		for _, found := range links.FindAllStringSubmatch(body, -1) {
			v.crawl(found[1], below, seen)
		}
	}
}

// Broken by: a link, a form, a redirect, a cookie or an asset that leads out of the path, be it of the dashboard; and
// by an ingress that takes the path off, or leaves it on, or asks by another name.
func TestPagesBelowAPath(t *testing.T) {
	for _, in := range []ingress{
		{false, false, "/stoker"}, {true, false, "/stoker"}, {false, true, "/stoker"}, {true, true, "/stoker"},
		{false, true, "/ops/tools/stoker-1"}, {true, true, "/ops/tools/stoker-1"},
	} {
		t.Run(fmt.Sprintf("%s, strips %t, another host %t", in.prefix, in.strips, in.rehost), func(t *testing.T) {
			s, _ := newQueues(t, func(cfg *Config) {
				withToken(cfg)
				cfg.Spec.Admin.BasePath, cfg.Spec.Admin.QueuesWrite = in.prefix, true
				cfg.Gatherer = prometheus.NewRegistry()
			})
			v, p := in.open(t, s), in.prefix
			wantRedirect := func(method, path, to string, form url.Values) {
				t.Helper()
				if status, location, body := v.visit(method, path, form); status/100 != 3 || location != to {
					t.Errorf("%s %s: status %d, to %q, want %s: %.200s", method, path, status, location, to, body)
				}
			}
			if !in.strips { // one that strips asks for / then
				wantRedirect("GET", p, p+"/", nil)
			}
			wantRedirect("GET", p+"/", p+"/login", nil)
			next := p + "/login?next=%2Fjobs%2Fproduct"
			wantRedirect("GET", p+"/jobs/product", next, nil)
			_, _, form := v.visit("GET", next, nil)
			if !strings.Contains(form, `name="next" value="/jobs/product"`) {
				t.Errorf("the form: %s", form)
			}
			token := url.Values{"token": {testToken}, "next": {"/jobs/product"}}
			wantRedirect("POST", p+"/login", p+"/jobs/product", token)
			home, err := url.Parse(v.base + p + "/")
			if err != nil {
				t.Fatal(err)
			}
			if n := len(v.c.Jar.Cookies(home)); n != 1 {
				t.Fatalf("%d cookies", n)
			}
			if n := len(v.c.Jar.Cookies(&url.URL{Scheme: "http", Host: home.Host, Path: "/other/"})); n != 0 {
				t.Error("another application gets the cookie")
			}

			seen := make(map[string]bool)
			v.crawl(p+"/", p+"/", seen)
			for _, path := range []string{"/jobs/product", "/static/style.css", "/static/page.js", "/queues/",
				"/metrics", "/api/v1/jobs"} {
				found := false
				for at := range seen {
					found = found || strings.HasPrefix(at, p+path)
				}
				if !found {
					t.Errorf("nothing leads to %s", path)
				}
			}
			wantRedirect("GET", p+"/queues", p+"/queues/", nil)
			wantRedirect("GET", p+"/queues/../jobs/price", p+"/jobs/price", nil)
			if _, _, page := v.visit("GET", p+"/queues/", nil); !strings.Contains(page, p+"/queues") &&
				!strings.Contains(page, strings.ReplaceAll(p+"/queues", "/", `\/`)) {
				t.Errorf("the dashboard does not know where it is: %s", page)
			}
			for path, want := range map[string]string{"/queues/api/queues": "stoker-run", "/api/v1/jobs/product": `"product"`,
				"/queues/queues/stoker-run": "<html", "/jobs/product": v.base + p + "/api/v1/jobs/product/warm"} {
				if status, _, body := v.visit("GET", p+path, nil); status != 200 || !strings.Contains(body, want) {
					t.Errorf("%s: %d %.300s", path, status, body)
				}
			}
			if status, _, body := v.visit("GET", p+"/nothing", nil); status != 404 ||
				!strings.Contains(body, p+"/api/v1/jobs") {
				t.Errorf("%d %s", status, body)
			}

			wantRedirect("POST", p+"/jobs/product/warm", p+"/?asked=product", nil)
			wantRedirect("POST", p+"/jobs/product/warm", p+"/jobs/product?asked=product", url.Values{"from": {"job"}})
			if status, _, body := v.visit("POST", p+"/queues/api/queues/stoker-run:pause", nil); status != 204 {
				t.Errorf("pause: %d %s", status, body)
			}
			for _, headers := range [][]string{{"Origin: https://evil.example"}, {"Origin: null"},
				{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}} {
				for _, path := range []string{"/jobs/product/warm", "/queues/api/queues/stoker-run:resume", "/logout"} {
					if status, _, _ := v.visit("POST", p+path, nil, headers...); status != 403 {
						t.Errorf("POST %s with %s: %d", path, headers, status)
					}
				}
			}
			wantRedirect("POST", p+"/logout", p+"/login", nil)
			wantRedirect("GET", p+"/jobs/price", p+"/login?next=%2Fjobs%2Fprice", nil)
			if n := len(v.c.Jar.Cookies(home)); n != 0 {
				t.Errorf("%d cookies are left", n)
			}
		})
	}
}

// What asks without the ingress finds the same: probes, Prometheus, stoker health. Broken by: a probe that the base
// path hides, or that it opens something beside.
func TestBasePathWithoutTheIngress(t *testing.T) {
	s := newServer(t, func(cfg *Config) { withToken(cfg); cfg.Spec.Admin.BasePath = "/stoker" })
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/stoker/livez": 200,
		"/stoker/static/page.js": 200,
		"/api/v1/jobs":           401, "/stoker/api/v1/jobs": 401, "/stokers/livez": 401, "/stoker/stoker/livez": 401,
		"/stoker%2Flivez": 401} {
		if w := call(s, "GET", path, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
	for _, path := range []string{"/stoker", "/stoker/", "/stoker/login"} {
		w := call(s, "GET", path, "", asBrowser)
		wantHeader(t, w, "X-Frame-Options", "DENY")
	}
	w := call(s, "GET", "/stoker?a=b", "", asBrowser)
	wantHeader(t, w, "Location", "/stoker/?a=b")
	w = call(s, "GET", "/stoker/login?next=//evil.example/", "", asBrowser)
	wantBody(t, w, `name="next" value="/"`)
}

// A page elsewhere cannot have a browser say which host was asked; a program may say what it likes, and wins nothing.
func TestForwardedHostOpensNothing(t *testing.T) {
	s := newServer(t, nil) // without a token: the name gate is what protects
	for _, headers := range [][]string{
		{"Host: evil.example", "X-Forwarded-Host: 127.0.0.1:8080"},
		{"Host: evil.example", "X-Forwarded-Host: 127.0.0.1:8080", "Origin: http://127.0.0.1:8080"},
		{"Origin: http://evil.example"},
		{"Origin: http://evil.example", "X-Forwarded-Host: evil.example/"},
		{"Origin: http://evil.example", "X-Forwarded-Host: evil.example", "Sec-Fetch-Site: cross-site"},
	} {
		if w := call(s, "POST", "/api/v1/jobs/product/warm", "", headers...); w.Code != 403 {
			t.Errorf("%s: status %d", headers, w.Code)
		}
	}
}
