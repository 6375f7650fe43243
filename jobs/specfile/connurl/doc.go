// Package connurl reads the connection strings of the spec: as libpq, pgx and go-redis do, with the forms of other
// libraries named and, where they mean the same, translated. No error holds the text, which may have a password.
package connurl

import "github.com/stokerhq/stoker/jobs"

// wrong returns a mistake with the step that mends it.
func wrong(message, hint string) error { return &jobs.Mistake{Message: message, Hint: hint} }
