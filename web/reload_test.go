package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// The API has the spec loaded; who has no token cannot. A spec that is refused is answered with its mistakes.
//
// Broken by: a route that is open; mistakes without their places; a secret in an answer.
func TestReload(t *testing.T) {
	var err error
	s := newServer(t, func(cfg *Config) {
		withToken(cfg)
		cfg.Reload = func(context.Context) (Reloaded, error) {
			return Reloaded{Added: []string{"a"}, Removed: []string{"b"}}, err
		}
	})
	const token = "Authorization: Bearer " + testToken
	wantStatus(t, call(s, "POST", "/api/v1/reload", ""), http.StatusUnauthorized)
	wantStatus(t, call(s, "GET", "/api/v1/reload", "", token), http.StatusMethodNotAllowed)
	for _, path := range []string{"/api/v1/reload", "/api/reload"} {
		w := call(s, "POST", path, "", token)
		wantStatus(t, w, http.StatusOK)
		wantBody(t, w, `{"added":["a"],"removed":["b"]}`)
	}
	err = jobs.Problems{{File: "stoker.yaml", Line: 3, Col: 5, Message: "unknown field", Hint: "remove it"}}
	w := call(s, "POST", "/api/v1/reload", "", token)
	wantStatus(t, w, http.StatusUnprocessableEntity)
	wantBody(t, w, `"problems":["stoker.yaml:3:5: unknown field (remove it)"]`)
	err = errors.New("postgres.url cannot be changed: " + testToken)
	w = call(s, "POST", "/api/v1/reload", "", token)
	wantStatus(t, w, http.StatusUnprocessableEntity)
	wantBody(t, w, "the one before goes on: postgres.url cannot be changed: ***")
	wantStatus(t, call(newServer(t, nil), "POST", "/api/v1/reload", ""), http.StatusNotFound)
}

// After a reload, pages, API and token are those of the new spec.
//
// Broken by: a handler that keeps the spec that it was made with.
func TestReplace(t *testing.T) {
	s := newServer(t, withToken)
	next := newSpec(t)
	next.Jobs = append(next.Jobs[1:], newJob(t, "added", "added:{id}", jobs.ValueRow, "", time.Hour))
	next.Admin.Token = jobs.NewSecret("another token, of the next spec")
	if err := s.Replace(next); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, call(s, "GET", "/api/v1/jobs", "", "Authorization: Bearer "+testToken), http.StatusUnauthorized)
	const token = "Authorization: Bearer another token, of the next spec"
	wantStatus(t, call(s, "GET", "/api/v1/jobs/added", "", token), http.StatusOK)
	wantStatus(t, call(s, "GET", "/api/v1/jobs/product", "", token), http.StatusNotFound)
	wantStatus(t, call(s, "POST", "/api/v1/jobs/added/warm", "", token), http.StatusAccepted)
}

// The page and the API say which specs are not kept apart.
func TestConflictsAreShown(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.Conflicts = func() []string { return []string{"another spec is at work: b.yaml <host>"} }
	})
	page := call(s, "GET", "/", "", asBrowser)
	wantBody(t, page, "Specs are not kept apart", "b.yaml &lt;host&gt;")
	if n := strings.Count(page.Body.String(), "b.yaml"); n != 1 {
		t.Errorf("the page says it %d times", n)
	}
	wantBody(t, call(s, "GET", "/api/v1/jobs", ""), `"of":"apart"`)
}

// The page and the API say that a changed spec was refused.
func TestRefusedSpecIsShown(t *testing.T) {
	s := newServer(t, func(cfg *Config) {
		cfg.SpecRefused = func(context.Context) *Failure {
			return &Failure{Message: "stoker.yaml:3:5: unknown <field>", At: time.Now()}
		}
	})
	wantBody(t, call(s, "GET", "/", "", asBrowser), "The spec was not loaded", "stoker.yaml:3:5: unknown &lt;field&gt;")
	wantBody(t, call(s, "GET", "/api/v1/jobs", ""), `"of":"spec"`)
}
