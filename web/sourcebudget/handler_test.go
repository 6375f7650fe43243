package sourcebudget

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// kept is a budget in memory.
type kept struct {
	share string
	err   error
}

func (b *kept) BudgetShare(context.Context) (string, error) { return b.share, b.err }

func (b *kept) SetBudgetShare(_ context.Context, share string) error {
	if b.err == nil {
		b.share = share
	}
	return b.err
}

// Broken by: a body that is half understood, and then taken; a Redis that is down and an answer that says nothing.
func TestHandler(t *testing.T) {
	b := &kept{}
	h := &Handler{func() *jobs.Spec { return &jobs.Spec{} }, b, slog.New(slog.DiscardHandler)}
	call := func(method, body string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/api/v1/budget", strings.NewReader(body)))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if status, body := call("GET", ""); status != http.StatusOK || body != `{"spec":"none","set":null}` {
		t.Errorf("%d %s", status, body)
	}
	for body, want := range map[string]string{`{"set": "10%"}`: "10%", `{"set": "none"}`: "none", `{"set": null}`: "",
		`{"set": "012.50 %"}`: "12.5%"} {
		if status, answer := call("POST", body); status != http.StatusOK || b.share != want {
			t.Errorf("%s: %d %s, %q", body, status, answer, b.share)
		}
	}
	b.share = "10%"
	for _, body := range []string{"", "{", `{}`, `{"set": "0%"}`, `{"set": "101%"}`, `{"set": 10}`,
		`{"set": "20%", "x": null}`, `{"share": "20%"}`, `"20%"`} {
		if status, answer := call("POST", body); status != http.StatusBadRequest || b.share != "10%" {
			t.Errorf("%s: %d %s, %q", body, status, answer, b.share)
		}
	}
	b.err = errors.New("connection refused")
	for method, want := range map[string]int{"GET": http.StatusServiceUnavailable, "POST": http.StatusBadGateway} {
		if status, answer := call(method, `{"set": "20%"}`); status != want || !strings.Contains(answer, "try again") {
			t.Errorf("%s: %d %s", method, status, answer)
		}
	}
}
