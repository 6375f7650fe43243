package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes is the map of the listener, without its gates.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.handle(mux, "/{$}", methods{"GET": s.statusPage})
	s.handle(mux, "/jobs/{job}", methods{"GET": s.jobPage})
	s.handle(mux, "/jobs/{job}/warm", methods{"POST": s.traced("warm", s.warmForm)})

	s.handle(mux, "/api/v1/jobs", methods{"GET": s.listJobs})
	s.handle(mux, "/api/v1/jobs/{job}", methods{"GET": s.getJob})
	s.handle(mux, "/api/v1/jobs/{job}/warm", methods{"POST": s.traced("warm", s.warmJob)})
	s.handle(mux, "/api/v1/jobs/{job}/invalidate", methods{"POST": s.traced("invalidate", s.invalidateJob)})
	s.handle(mux, "/api/v1/invalidate", methods{"POST": s.traced("invalidate", s.invalidateAll)})
	s.handle(mux, "/api/v1/jobs/{job}/refresh", methods{"POST": s.refreshKey})

	if b := s.cfg.Budget; b != nil {
		s.handle(mux, "/api/v1/budget", methods{"GET": b.ServeHTTP, "POST": b.ServeHTTP})
	}
	if h := s.cfg.Reads; h != nil {
		s.handle(mux, "/api/v1/reads", methods{"GET": h.ServeHTTP})
	}
	s.handle(mux, "/api/v1/reload", methods{"POST": s.reload})
	s.handle(mux, "/api/reload", methods{"POST": s.reload}) // as other daemons have it, without a version

	s.handle(mux, "/login", methods{"GET": s.loginForm, "POST": s.login})
	s.handle(mux, "/logout", methods{"POST": s.logout})
	s.handle(mux, "/livez", methods{"GET": s.livez})
	s.handle(mux, "/readyz", methods{"GET": s.readyz})
	if s.cfg.Warm != nil {
		s.handle(mux, "/warmz", methods{"GET": s.cfg.Warm.ServeHTTP})
	}
	s.handle(mux, "/metrics", methods{"GET": s.metrics()})
	s.handle(mux, "/static/{file}", methods{"GET": s.static})

	mux.HandleFunc("/queues/", s.queues)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusNotFound, "there is nothing at "+r.URL.Path+": start at "+s.link("/")+", or at "+
			s.link("/api/v1/jobs"))
	})
	return mux
}

// requestLimit ends what a request waits for, before the listener's own
// WriteTimeout would leave the caller without an answer.
const requestLimit = 30 * time.Second

type methods map[string]http.HandlerFunc

// handle serves pattern by method. ServeMux could do that, but its own answer to
// a wrong method is text, where an API caller expects JSON.
func (s *Server) handle(mux *http.ServeMux, pattern string, by methods) {
	var allow []string
	for _, method := range []string{"GET", "POST"} {
		if by[method] != nil {
			allow = append(allow, method)
		}
	}
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if h := by[method]; h != nil {
			ctx, cancel := context.WithTimeout(r.Context(), requestLimit)
			defer cancel()
			h(w, r.WithContext(ctx))
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		s.refuse(w, r, http.StatusMethodNotAllowed, r.Method+" does not go here: use "+strings.Join(allow, " or "))
	})
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "alive") }

// readyLimit is shorter than the patience of probes, which is often a few seconds.
const readyLimit = 2 * time.Second

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
	defer cancel()
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(ctx); err != nil {
			answerText(w, http.StatusServiceUnavailable, "not ready: "+s.mask.Text(err.Error()))
			return
		}
	}
	text := "ready"
	for _, p := range s.paused(ctx) {
		// 200 all the same: whoever takes an unready process out of service takes away the dashboard, too
		text += "\nbut " + p.String()
	}
	if e := s.eviction(ctx); e != nil {
		text += "\nbut " + e.String()
	}
	answerText(w, http.StatusOK, text)
}

func (s *Server) metrics() http.HandlerFunc {
	if s.cfg.Gatherer == nil {
		return func(w http.ResponseWriter, r *http.Request) {
			s.refuse(w, r, http.StatusNotFound, "this process keeps no metrics")
		}
	}
	return promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // one bad collector must not blind the rest
		Timeout:       30 * time.Second,
	}).ServeHTTP
}
