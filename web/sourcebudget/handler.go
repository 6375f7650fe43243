// Package sourcebudget shows and sets, over HTTP, what runs may take of the database's time.
package sourcebudget

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
)

// Shared is the budget that is set at run time, for all daemons; *ledger.Ledger is one.
type Shared interface {
	BudgetShare(ctx context.Context) (string, error)
	SetBudgetShare(ctx context.Context, share string) error
}

// Handler answers GET and POST. Who may ask is for its caller to say.
type Handler struct {
	Spec   func() *jobs.Spec // in use
	Shared Shared
	Log    *slog.Logger
}

// answer is what counts.
type answer struct {
	Spec string  `json:"spec"`
	Set  *string `json:"set"` // in place of the spec's; null: nothing is set
}

// largest is more than a request for one has.
const largest = 1 << 10

// ServeHTTP answers what counts. A POST of {"set": "10%"}, {"set": "none"}, or {"set": null} for what the spec says,
// sets it first.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		share, err := read(http.MaxBytesReader(w, r.Body, largest))
		if err != nil {
			write(w, http.StatusBadRequest, map[string]string{"error": err.Error() + `: send {"set": "10%"}, ` +
				`{"set": "none"}, or {"set": null} for what the spec says`})
			return
		}
		if err := h.Shared.SetBudgetShare(r.Context(), share); err != nil {
			h.fail(w, http.StatusBadGateway, err)
			return
		}
		h.Log.Info("the budget of runs was set", "budget", share, "remote", r.RemoteAddr)
	}
	set, err := h.Shared.BudgetShare(r.Context())
	if err != nil {
		h.fail(w, http.StatusServiceUnavailable, err)
		return
	}
	a := answer{Spec: budget.ShareText(h.Spec().Postgres.Budget.Share)}
	if set != "" {
		a.Set = &set
	}
	write(w, http.StatusOK, a)
}

func (h *Handler) fail(w http.ResponseWriter, status int, err error) {
	h.Log.Warn("the budget of runs cannot be reached", jobs.LogErr, err)
	write(w, status, map[string]string{
		"error": "the budget is kept in the queue's Redis, which does not answer: try again"})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// what fails here is the connection, and its end is the caller's to see
	_ = json.NewEncoder(w).Encode(v)
}

func read(body io.Reader) (share string, err error) {
	var asked map[string]*string
	if err := json.NewDecoder(body).Decode(&asked); err != nil {
		return "", fmt.Errorf("the body is not JSON: %w", err)
	}
	set, named := asked["set"]
	if !named || len(asked) != 1 {
		return "", fmt.Errorf("the body does not have the one field set")
	}
	if set == nil {
		return "", nil
	}
	parsed, err := budget.ParseShare(*set)
	if err != nil {
		return "", fmt.Errorf("%q %w", *set, err)
	}
	return budget.ShareText(parsed), nil
}
