package discover

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/lex"
)

// sample is a statement as a session has sent it. pg_stat_statements keeps no constants: a LIMIT 10 is a LIMIT $1
// there. The text that pg_stat_activity shows has them.
type sample struct {
	session string // pid and the statement's start
	text    string
}

// enoughSamples are as many texts of one statement as are kept.
const enoughSamples = 8

// lookEvery is the pause between two looks at what sessions do.
const lookEvery = 100 * time.Millisecond

// activity are what sessions do, or did last. A text as long as the server keeps was cut off.
const activity = `SELECT query_id::text, pid::text || ' ' || query_start::text, query FROM pg_stat_activity
	WHERE query_id::text = ANY($1) AND datname = current_database() AND pid <> pg_backend_pid() AND octet_length(query) <
		(SELECT setting::int FROM pg_settings WHERE name = 'track_activity_query_size') - 1 /* stoker */`

// watch looks at the sessions of the database until it has a text of each of the statements, or time is up.
func (d *discovery) watch(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for end := time.Now().Add(d.cfg.Watch); ; {
		rows, err := d.query(ctx, activity, string(postgres.ArrayLiteral(ids)))
		if err != nil {
			return err
		}
		for _, r := range rows {
			s := sample{r[1], plain(r[2])}
			if list := d.samples[r[0]]; len(list) < enoughSamples && !slices.Contains(list, s) {
				d.samples[r[0]] = append(list, s)
			}
		}
		missing := slices.ContainsFunc(ids, func(id string) bool { return len(d.samples[id]) == 0 })
		if !missing || time.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// constants is what stands in a sample where the normalised text has a parameter.
type constants struct {
	values map[string]string // :: $n -> the constant
	bound  map[string]bool   // parameters that the application itself binds
}

// align reads the constants of a statement off a sample of it. ok is false if the two are not the same statement.
func align(normal, sampled string) (c constants, ok bool) {
	c = constants{make(map[string]string), make(map[string]bool)}
	s := lex.Lex(sampled)
	i := 0
	for _, t := range lex.Lex(normal) {
		if i >= len(s) {
			return c, false
		}
		if t.Kind != lex.Word || t.Text[0] != '$' {
			if t.Kind != s[i].Kind || t.Text != s[i].Text {
				return c, false
			}
			i++
			continue
		}
		end := constantAt(s, i)
		if end == i {
			return c, false
		}
		if s[i].Text[0] == '$' && s[i].Kind == lex.Word {
			c.bound[t.Text] = true
		} else {
			c.values[t.Text] = text(sampled, s, i, end)
		}
		i = end
	}
	return c, i == len(s)
}

// constantAt is the end of the constant that begins at token i; i if there is none.
func constantAt(s []lex.Token, i int) int {
	switch t := s[i]; {
	case t.Is("-", "+") && i+1 < len(s) && isNumber(s[i+1]):
		return constantAt(s, i+1)
	case t.Kind == lex.Literal, t.Is("true", "false", "null"):
		return i + 1
	case t.Is("e", "b", "x", "n") && i+1 < len(s) && s[i+1].Kind == lex.Literal && s[i+1].Pos == t.End:
		return i + 2
	case t.Kind == lex.Word && t.Text[0] == '$':
		return i + 1
	case isNumber(t):
		for i++; i < len(s) && s[i].Pos == s[i-1].End && (s[i].Is(".") || isNumber(s[i])); {
			i++
		}
		return i
	}
	return i
}

func isNumber(t lex.Token) bool {
	return t.Kind == lex.Word && strings.IndexByte("0123456789", t.Text[0]) >= 0
}

// sure are the constants of a statement that are part of the application's SQL, as its samples show. Where the
// application binds values as parameters, whatever is no parameter is a constant. Where it does not, its values look
// like constants: then only what is the same each time is taken for one, and never what is compared with =.
func (d *discovery) sure(s statement, normal string) map[string]string {
	var agreed map[string]string
	seen := 0
	for _, x := range d.samples[s.id] {
		c, ok := align(normal, x.text)
		if !ok {
			continue
		}
		if len(c.bound) > 0 {
			return c.values
		}
		if seen++; agreed == nil {
			agreed = c.values
		}
		for name, v := range c.values {
			if agreed[name] != v {
				delete(agreed, name)
			}
		}
	}
	return d.uncompared(normal, agreed, seen)
}

// alike is how often a value in a WHERE must have been the same to be taken for a constant.
const alike = 3

// uncompared leaves out the values that may be a reader's: those that are compared with = (but not true and false,
// which are hardly ever), and those in other conditions that were seen too seldom.
func (d *discovery) uncompared(normal string, values map[string]string, seen int) map[string]string {
	q, why := dissect(normal)
	if why != "" {
		return values
	}
	for _, condition := range q.where {
		_, equal := equalities(condition)
		for _, name := range parameters(condition) {
			truth := strings.EqualFold(values[name], "true") || strings.EqualFold(values[name], "false")
			if equal && !truth || !equal && seen < alike {
				delete(values, name)
			}
		}
	}
	return values
}
