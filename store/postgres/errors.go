package postgres

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// SQLSTATEs that are acted upon.
const (
	stateFeatureNotSupported   = "0A000" // also: cached plan must not change result type
	stateQueryCanceled         = "57014"
	stateUndefinedFunction     = "42883"
	stateInsufficientPrivilege = "42501"
	stateUndefinedObject       = "42704" // also: a setting that does not exist
	stateReadOnly              = "25006"
)

// queryError turns Postgres' answer into a store.QueryError; offset is where the
// job's query starts in the statement that was sent. Other errors (a connection
// that broke, a context that ended) are wrapped as they are.
func queryError(job *jobs.Job, err error, offset int) error {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("read job %s from postgres: %w", job.Name, err)
	}
	q := &store.QueryError{Job: job.Name, SQLState: pe.Code, Message: pe.Message, Detail: pe.Detail, Hint: pe.Hint,
		Err: err}
	q.Line, q.Col = Position(job.Query, int(pe.Position), offset)
	if pe.Code == stateQueryCanceled && strings.Contains(pe.Message, "statement timeout") {
		q.Hint = slowHint
	}
	// While a server recovers, any transaction is refused with the same state: that passes.
	q.Writes = pe.Code == stateReadOnly && pe.Routine != "PreventCommandDuringRecovery"
	return q
}

const slowHint = "raise postgres.statement_timeout, or make the query faster"

// noPosition is the offset of statements that hold no text of the user's.
const noPosition = 1 << 30

// Position turns Postgres' character position in the statement (from 1, 0 for
// none) into line and column of the job's query.
func Position(query string, pos, offset int) (line, col int) {
	pos -= offset // our own text before the query is ASCII: bytes are characters
	if pos < 1 || pos > utf8.RuneCountInString(query) {
		return 0, 0
	}
	line, col = 1, 1
	for _, r := range query {
		if pos--; pos == 0 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
	}
	return line, col
}

// stalePlan reports whether err says that what we knew of the query no longer
// holds, so that asking again with a fresh plan helps.
func stalePlan(err error) bool {
	if errors.Is(err, errShapeChanged) {
		return true
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	// A condition on a key whose column has got another type fits no operator.
	return pe.Code == stateUndefinedFunction || pe.Code == stateFeatureNotSupported &&
		strings.Contains(pe.Message, "cached plan")
}

// errShapeChanged: between planning and reading, the query began to return other
// columns.
var errShapeChanged = errors.New("the columns of the query changed while it was read")

// WithGrant adds to the refusal of a function that must be called what to do about it.
func WithGrant(err error) error {
	pe, _ := errors.AsType[*pgconn.PgError](err)
	if pe == nil || pe.Code != stateInsufficientPrivilege {
		return err
	}
	name, ok := strings.CutPrefix(pe.Message, "permission denied for function ")
	if !ok {
		return err
	}
	return fmt.Errorf("%w: Stoker cannot work without it; GRANT EXECUTE ON FUNCTION %s TO Stoker's role", err, name)
}
