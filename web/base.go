package web

import (
	"net/http"
	"net/url"
	"strings"
)

// An ingress may show the pages below a path, as /stoker/, and may take that path off or leave it on. With
// admin.base_path both work: inside, all paths begin at /; what goes out to a browser begins at the base path.

// based takes the base path off requests that bring it, and puts it in front of the paths of redirects.
func (s *Server) based(next http.Handler) http.Handler {
	base := s.cfg.Spec.Admin.BasePath
	if base == "" {
		return next
	}
	stripped := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &basedWriter{w, base}
		switch {
		case r.URL.Path == base:
			to := url.URL{Path: base + "/", RawQuery: r.URL.RawQuery}
			secureHeaders(http.RedirectHandler(to.String(), http.StatusTemporaryRedirect)).ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.EscapedPath(), base+"/"): // so what StripPrefix takes off is what was sent
			stripped.ServeHTTP(out, r)
		default: // the ingress has taken it off, or it was not asked: a probe
			next.ServeHTTP(out, r)
		}
	})
}

// basedWriter puts the base path in front of the path of a redirect.
type basedWriter struct {
	http.ResponseWriter
	base string
}

// WriteHeader implements http.ResponseWriter.
func (w *basedWriter) WriteHeader(code int) {
	to := w.Header().Get("Location")
	if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, w.base+"/") {
		w.Header().Set("Location", w.base+to)
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *basedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// link is a path of ours as a browser knows it.
func (s *Server) link(path string) string { return s.cfg.Spec.Admin.BasePath + path }

// withBase puts the base path back, for a handler that knows of it.
func (s *Server) withBase(r *http.Request) *http.Request {
	if s.cfg.Spec.Admin.BasePath == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path = s.link(r.URL.Path)
	if r.URL.RawPath != "" {
		r.URL.RawPath = s.link(r.URL.RawPath)
	}
	return r
}

// publicHost is the host that the browser has asked: of a proxy in front of us, if it says so. Nothing that it
// guards may believe it without looking at the Host header as well: anyone but a browser can write it.
func publicHost(r *http.Request) string {
	host, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	if host = strings.TrimSpace(host); host == "" || strings.ContainsAny(host, "/?#@\\ ") {
		return r.Host
	}
	return host
}

// baseURL is how this browser reaches us.
func (s *Server) baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + publicHost(r) + s.cfg.Spec.Admin.BasePath
}

// sameOrigin is the origin gate. A proxy may ask us by another name than the browser asked it: then the name that
// it forwards is the one to compare with. A page elsewhere cannot have a browser send that header.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := origin.Check(r)
		if host := publicHost(r); err != nil && host != r.Host && r.Header.Get("Sec-Fetch-Site") == "" {
			asked := r.WithContext(r.Context())
			asked.Host = host
			err = origin.Check(asked)
		}
		if err != nil {
			s.refuse(w, r, http.StatusForbidden, "a page of another origin may not change anything here: "+
				"use the status page itself, or call the API without a browser")
			return
		}
		next.ServeHTTP(w, r)
	})
}
