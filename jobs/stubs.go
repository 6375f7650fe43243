package jobs

import "time"

// Secret is a string that cannot print itself. Reveal returns it.
type Secret struct{ v string }

func NewSecret(v string) Secret { return Secret{v} }
func (s Secret) Reveal() string { return s.v }
func (s Secret) IsZero() bool   { return s.v == "" }

// Problem is one located mistake in the spec.
type Problem struct {
	File      string
	Line, Col int
	Message   string
	Hint      string
}

// Problems is an error.
type Problems []Problem

func (p Problems) Error() string { panic("") }

// KeyTemplate is "product:{id}" parsed.
type KeyTemplate struct{ x int }

// ParseKeyTemplate parses.
func ParseKeyTemplate(s string) (*KeyTemplate, error) { panic("") }

// String returns it as written; Columns the distinct column names in order of first use.
func (t *KeyTemplate) String() string    { panic("") }
func (t *KeyTemplate) Columns() []string { panic("") }

// Append renders: text(i) appends the text of Columns()[i] to dst.
func (t *KeyTemplate) Append(dst []byte, text func(dst []byte, column int) []byte) []byte { panic("") }

// Schedule is one parsed schedule.
type Schedule struct{ x int }

func ParseSchedule(spec string, loc *time.Location) (*Schedule, error) { panic("") }
func (s *Schedule) String() string                                     { panic("") }
func (s *Schedule) Next(after time.Time) time.Time                     { panic("") } // strictly after
func (s *Schedule) Prev(at time.Time) (time.Time, bool)                { panic("") } // the last tick <= at
func (s *Schedule) Period(at time.Time) time.Duration                  { panic("") } // the longest gap among the next few ticks

// Load reads and validates the spec file. lookup is os.LookupEnv. On mistakes the error is Problems.
func Load(file string, lookup func(string) (string, bool)) (*Spec, error) { panic("") }
