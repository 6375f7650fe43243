package web

import (
	"net/http"

	"github.com/stokerhq/stoker/jobs/tracing"
)

// traced answers within a span, which is in the trace that the request's traceparent names.
func (s *Server) traced(name string, answer http.HandlerFunc) http.HandlerFunc {
	return s.cfg.Tracer.Handler(func(r *http.Request) tracing.Begin {
		begin := tracing.Begin{Name: name}
		if job, ok := s.cfg.Spec.Job(r.PathValue("job")); ok { // whatever else is asked for makes no names of spans
			begin.Job = job.Name
		}
		return begin
	}, answer)
}
