package jobs

import (
	"fmt"
	"slices"
	"strings"
)

// KeyTemplate is a parsed key such as "product:{id}": literal text and columns
// whose values replace their {column}.
type KeyTemplate struct {
	text    string
	parts   []part
	columns []string
}

// part is a literal followed by a column's value, or, at the end, a literal alone.
type part struct {
	literal string
	column  int // index in columns; -1: none
}

// ParseKeyTemplate parses a key. {column} stands for the value of that column,
// whose name may hold anything but braces; {{ and }} are literal braces. The
// error says what is wrong and how to mend it.
func ParseKeyTemplate(s string) (*KeyTemplate, error) {
	if s == "" {
		return nil, wrong("is empty", `say which key a row goes to, as in "product:{id}"`)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return nil, wrong(fmt.Sprintf("has a control character at byte %d", i+1),
			"write the key on one line, in quotes")
	}
	t := &KeyTemplate{text: s}
	var literal strings.Builder
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "}}"):
			literal.WriteByte(s[i])
			i += 2
		case s[i] == '}':
			return nil, wrong(fmt.Sprintf("has a } without a { at byte %d", i+1), "write }} for a literal brace")
		case s[i] == '{':
			name, err := columnAt(s, i)
			if err != nil {
				return nil, err
			}
			t.parts = append(t.parts, part{literal.String(), t.column(name)})
			literal.Reset()
			i += len(name) + 2
		default:
			literal.WriteByte(s[i])
			i++
		}
	}
	t.parts = append(t.parts, part{literal.String(), -1})
	if err := checkKeyStart(t.parts[0].literal); err != nil {
		return nil, err
	}
	return t, nil
}

// columnAt returns the name between the brace at s[i] and its partner.
func columnAt(s string, i int) (string, error) {
	n := strings.IndexAny(s[i+1:], "{}")
	if n < 0 || s[i+1+n] == '{' {
		return "", wrong(fmt.Sprintf("has a { that is not closed at byte %d", i+1),
			"write {column}, or {{ for a literal brace")
	}
	if n == 0 {
		return "", wrong(fmt.Sprintf("has an empty {} at byte %d", i+1),
			"name the column, or write {{}} for literal braces")
	}
	return s[i+1 : i+1+n], nil
}

// checkKeyStart refuses the names that are not the user's to give: # marks the
// book's own fields, and a job must not be able to overwrite our records.
func checkKeyStart(literal string) error {
	if prefix := Reserved([]byte(literal)); prefix != "" {
		return wrong("starts with "+prefix+", which is reserved", "choose another prefix")
	}
	return nil
}

// column returns the index of a column, which it adds if it is new.
func (t *KeyTemplate) column(name string) int {
	if i := slices.Index(t.columns, name); i >= 0 {
		return i
	}
	t.columns = append(t.columns, name)
	return len(t.columns) - 1
}

// String returns the template as it was written.
func (t *KeyTemplate) String() string { return t.text }

// Columns returns the distinct column names in order of first use. It is empty
// when all rows go to one key. The caller must not change it.
func (t *KeyTemplate) Columns() []string { return t.columns }

// Append appends one key to dst: text(dst, i) appends the value of Columns()[i].
// A key that begins with a column can begin with anything; who writes it must
// refuse a leading #.
func (t *KeyTemplate) Append(dst []byte, text func(dst []byte, column int) []byte) []byte {
	for _, p := range t.parts {
		dst = append(dst, p.literal...)
		if p.column >= 0 {
			dst = text(dst, p.column)
		}
	}
	return dst
}

// Shape is the template with its columns' names left out: jobs of one shape may
// write the same keys.
func (t *KeyTemplate) Shape() string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.column >= 0 {
			b.WriteString("{}")
		}
	}
	return b.String()
}

// Text is a text that no other key of the job has.
func (k Key) Text(job *Job) string {
	columns := job.Key.Columns()
	if len(columns) == 1 {
		return k[columns[0]]
	}
	var b strings.Builder
	for _, column := range columns {
		fmt.Fprintf(&b, "%d:%s", len(k[column]), k[column])
	}
	return b.String()
}
