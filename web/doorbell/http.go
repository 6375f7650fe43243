package doorbell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// maxBody is far more than a key needs.
const maxBody = 64 << 10

// body is what a reader sends: {"key": {"id": 42}}.
type body struct {
	Key json.RawMessage `json:"key"`
}

// answer is what it is told.
type answer struct {
	State State  `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
}

// Serve answers POST .../jobs/NAME/refresh for a job: 200 with the key's state, 400 for a body or a value that is
// wrong, 503 if it was not loaded.
func (b *Bell) Serve(w http.ResponseWriter, r *http.Request, job *jobs.Job) {
	key, err := readKey(http.MaxBytesReader(w, r.Body, maxBody), job)
	if err != nil {
		reply(w, http.StatusBadRequest, answer{Error: err.Error()})
		return
	}
	state, err := b.Ring(r.Context(), job, key)
	misfit, wrong := errors.AsType[*store.KeyValueError](err)
	switch {
	case err == nil:
		reply(w, http.StatusOK, answer{State: state})
	case wrong:
		reply(w, http.StatusBadRequest, answer{Error: misfit.Error()})
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		reply(w, http.StatusServiceUnavailable, answer{Error: err.Error()})
	case errors.Is(err, context.Canceled): // the reader waits no longer
	default: // the worker has logged it; it may name servers
		reply(w, http.StatusServiceUnavailable, answer{Error: "the key was not loaded: Stoker's log says why"})
	}
}

// readKey reads a body strictly.
func readKey(r io.Reader, job *jobs.Job) (jobs.Key, error) {
	const shape = `send {"key": {"column": value}}`
	var b body
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return nil, fmt.Errorf("the body is not right, %w: %s", err, shape)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the JSON object: " + shape)
	}
	if b.Key == nil {
		return nil, errors.New("no key is given: " + shape)
	}
	key, err := jobs.ParseKey(job, b.Key)
	if err != nil {
		return nil, fmt.Errorf("the key %w", err)
	}
	return key, nil
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(a) // what fails here is the connection, and its end is the caller's to see
}
