package web

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// answerJSON writes v. Characters that matter to HTML stay as they are: nosniff
// keeps a browser from reading the answer as a page.
func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // what fails here is the connection, and its end is the caller's to see
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

// apiError is every answer of the API that is not what was asked for.
type apiError struct {
	Error string `json:"error"`
}

// refuse answers with a reason, in the form that the caller reads: a page for a
// browser, JSON for everyone else.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	reason = s.mask.Text(reason)
	if !wantsHTML(r) {
		answerJSON(w, status, apiError{reason})
		return
	}
	s.render(w, status, "error.html", errorView{Status: status, Title: http.StatusText(status), Reason: reason})
}

// wantsHTML reports whether a person looks at the answer. The API speaks JSON,
// whoever asks.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/")
}
