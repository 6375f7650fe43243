package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/hibiken/asynq"
)

// Cause says what asked for a run.
type Cause string

// The causes of a run.
const (
	CauseTick    Cause = "tick"
	CauseCatchUp Cause = "catch-up" // a missed tick, made up once
	CauseCommand Cause = "command"  // stoker warm
	CauseAPI     Cause = "api"
	CauseLocal   Cause = "local"  // stoker warm --local
	CauseEpoch   Cause = "epoch"  // the history of Postgres has changed, or changes may have been missed
	CauseChange  Cause = "change" // of a table that the job watches
)

// Run is the payload of a run task: warm every key of a job. A payload names
// jobs and values, never SQL: who can write to Redis must not be able to run it.
type Run struct {
	Job    string `json:"job"`
	Due    int64  `json:"due,omitempty"` // unix seconds of the tick; 0 when no schedule asked
	Cause  Cause  `json:"cause"`
	Remove bool   `json:"remove,omitempty"` // remove the keyset instead of writing it

	Rewrite      bool `json:"rewrite,omitempty"`       // send every value, whatever is known of the last run
	AcceptShrink bool `json:"accept_shrink,omitempty"` // remove the keys that shrink_guard has kept
}

// Key is the values of a job's key columns, by column name, as text that
// Postgres can cast to the column's type. A job whose key template names no
// column has one key, the empty Key.
type Key map[string]string

// MaxKeys is how many keys one invalidation task carries at most.
const MaxKeys = 500

// Invalidation is the payload of a refresh task: these keys are out of date.
type Invalidation struct {
	Job    string `json:"job"`
	Keys   []Key  `json:"keys"`
	Remove bool   `json:"remove,omitempty"` // drop without loading
	Fenced bool   `json:"fenced,omitempty"` // who enqueued it has fenced the keys: the worker need not
	// Exact says that the values are written as in the keys: none is looked for that is equal to them.
	Exact bool `json:"-"`
}

// UnmarshalJSON reads an object of strings. A null is an error, where Go would
// read an empty string and so another key.
func (k *Key) UnmarshalJSON(data []byte) error {
	var values map[string]*string
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	if values == nil {
		return errors.New("a key must be an object of column names and values, not null")
	}
	key := make(Key, len(values))
	for column, value := range values {
		if value == nil {
			return fmt.Errorf("key column %q is null: a row without it has no key, leave the key out", column)
		}
		key[column] = *value
	}
	*k = key
	return nil
}

// MarshalJSON writes an object, also for the nil Key.
func (k Key) MarshalJSON() ([]byte, error) {
	if k == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]string(k))
}

func (r Run) validate() error {
	if err := checkJob(r.Job); err != nil {
		return err
	}
	if r.Due < 0 {
		return fmt.Errorf("a run is due at %d: give unix seconds, or 0 for now", r.Due)
	}
	if !slices.Contains([]Cause{CauseTick, CauseCatchUp, CauseCommand, CauseAPI, CauseLocal, CauseEpoch, CauseChange},
		r.Cause) {
		return fmt.Errorf("unknown cause %q of a run: run the same version of stoker everywhere", r.Cause)
	}
	return nil
}

func (i Invalidation) validate() error {
	if err := checkJob(i.Job); err != nil {
		return err
	}
	if len(i.Keys) == 0 {
		return errors.New("an invalidation names no key: give at least one, or run the job to refresh all")
	}
	if len(i.Keys) > MaxKeys {
		return fmt.Errorf("an invalidation of %d keys: split the call, a task carries at most %d, or run the job "+
			"to refresh all", len(i.Keys), MaxKeys)
	}
	for n, key := range i.Keys {
		if err := key.check(i.Keys[0]); err != nil {
			return fmt.Errorf("key %d: %w", n+1, err)
		}
	}
	return nil
}

// check holds a key to the columns of the first one.
func (k Key) check(first Key) error {
	if len(k) != len(first) {
		return fmt.Errorf("it has %d columns and key 1 has %d: give every key all columns of the job's key template",
			len(k), len(first))
	}
	for column, value := range k {
		if _, ok := first[column]; !ok {
			return fmt.Errorf("it has the column %q and key 1 has not: give every key the columns of the job's key "+
				"template", column)
		}
		if column == "" {
			return errors.New("a column has no name: give the columns of the job's key template")
		}
		// JSON would replace the bytes, and so invalidate another key.
		if !utf8.ValidString(column) || !utf8.ValidString(value) {
			return fmt.Errorf("column %q is not UTF-8: Postgres could not match it, leave the key out", column)
		}
	}
	return nil
}

func checkJob(name string) error {
	if !IsName(name) {
		return fmt.Errorf("%q is not the name of a job: use the name in the spec (a-z, 0-9 and -)", name)
	}
	return nil
}

// unmarshal reads one strict JSON value from a task of the given type.
func unmarshal(t *asynq.Task, typ string, payload interface{ validate() error }) error {
	if t.Type() != typ {
		return fmt.Errorf("a task of type %q, not %q", t.Type(), typ)
	}
	decoder := json.NewDecoder(bytes.NewReader(t.Payload()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(payload); err != nil {
		return fmt.Errorf("payload of a %s task: %w", typ, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("payload of a %s task goes on after its end", typ)
	}
	if err := payload.validate(); err != nil {
		return fmt.Errorf("payload of a %s task: %w", typ, err)
	}
	return nil
}

// UnknownJobError says that a task names a job that the worker's spec lacks.
type UnknownJobError struct{ Job, File string }

// Error names both and the remedy.
func (e *UnknownJobError) Error() string {
	return fmt.Sprintf("job %q is not in %s: this worker has an older or newer spec than who asked; give both the "+
		"same file", e.Job, e.File)
}
