package web

import (
	"net/http"

	"github.com/stokerhq/stoker/jobs/tracing"
)

// traced answers within a span, which is in the trace that the request's traceparent names.
func (s *Server) traced(name string, answer http.HandlerFunc) http.HandlerFunc {
	if s.cfg.Tracer == nil {
		return answer
	}
	return func(w http.ResponseWriter, r *http.Request) {
		begin := tracing.Begin{Name: name, Kind: tracing.Server, Parent: tracing.FromRequest(r)}
		if job, ok := s.cfg.Spec.Job(r.PathValue("job")); ok { // whatever else is asked for makes no names of spans
			begin.Job = job.Name
		}
		ctx, span := s.cfg.Tracer.Start(r.Context(), begin)
		defer span.End()
		status := &statusWriter{w, http.StatusOK}
		answer(status, r.WithContext(ctx))
		span.HTTPStatus(status.code)
	}
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
