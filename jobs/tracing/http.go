package tracing

import "net/http"

// Handler answers within a span, in the trace that the request's traceparent names. begin names it. A nil Tracer
// returns answer itself.
func (t *Tracer) Handler(begin func(*http.Request) Begin, answer http.HandlerFunc) http.HandlerFunc {
	if t == nil {
		return answer
	}
	return func(w http.ResponseWriter, r *http.Request) {
		b := begin(r)
		b.Kind, b.Parent = Server, FromRequest(r)
		ctx, span := t.Start(r.Context(), b)
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
