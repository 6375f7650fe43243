package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// describe says what is not noticed without the refused signs, and what to do about it.
func (r refusals) describe(role string) string {
	var reasons, grants []string
	other := false // a refusal that no grant mends
	for i, err := range r {
		if err == nil {
			continue
		}
		if pe, _ := errors.AsType[*pgconn.PgError](err); pe != nil {
			reasons = append(reasons, pe.Message)
			if pe.Code == stateInsufficientPrivilege {
				grants = append(grants, signs[i].functions...)
				continue
			}
		}
		other = true
	}
	message := "signs of a changed history cannot be read (" + strings.Join(reasons, "; ") + ")"
	if lost := r.unnoticed(); len(lost) > 0 {
		message += ": " + strings.Join(lost, ", and ") + " may go unnoticed, unless the number of transactions goes " +
			"back; if commits were lost in one, values that show them stay until their job's next run that reads " +
			"the database (stoker warm --all)"
	} else {
		message += ": all that changes a history is still noticed, by the other signs"
	}
	if len(grants) > 0 {
		message += fmt.Sprintf("; a superuser can allow it: GRANT EXECUTE ON FUNCTION %s TO %s",
			strings.Join(grants, ", "), role)
	}
	if other {
		message += "; what this server does not offer cannot be granted"
	}
	return message
}

// unnoticed are the events that no sign is left for. The start of the server shows them
// all, except the crash that it survives.
func (r refusals) unnoticed() (events []string) {
	if r[signStart] != nil {
		events = append(events, "a restart of Postgres")
		if r[signTimeline] != nil {
			events = append(events, "a failover to a standby")
		}
		if r[signSystem] != nil {
			events = append(events, "another or a restored server behind postgres.url")
		}
	}
	if r[signProcesses] != nil {
		events = append(events, "a crash that Postgres recovers from without a restart")
	}
	return events
}
