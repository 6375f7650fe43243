package jobs

import "strings"

// KeyFit says how a key fits a template.
type KeyFit int

// How keys fit.
const (
	NoFit    KeyFit = iota // it is no key of the template
	OneFit                 // it can be read back in one way
	ManyFits               // in more than one: which values it was made of cannot be told
)

// Parse reads a key back: the values that Append would make it of. They are there
// only with OneFit. A value may be any text, the empty one too, so that a
// template such as "{a}:{b}" cannot tell how to read 1:2:3.
func (t *KeyTemplate) Parse(key string) (Key, KeyFit) {
	p := keyParser{t: t, found: make([]string, len(t.columns)), set: make([]bool, len(t.columns)), steps: maxKeySteps,
		most: 2}
	p.parse(key, 0)
	if p.steps <= 0 && p.fits == 1 {
		p.fits = 2 // there was no time to look for another way
	}
	switch {
	case p.steps <= 0 || p.fits > 1:
		return nil, ManyFits
	case p.fits == 0:
		return nil, NoFit
	}
	values := make(Key, len(t.columns))
	for i, name := range t.columns {
		values[name] = p.ways[0][i]
	}
	return values, OneFit
}

// ParseAll reads a key back in every way that it fits, most at the most.
func (t *KeyTemplate) ParseAll(key string, most int) []Key {
	p := keyParser{t: t, found: make([]string, len(t.columns)), set: make([]bool, len(t.columns)), steps: maxKeySteps,
		most: most}
	p.parse(key, 0)
	keys := make([]Key, len(p.ways))
	for n, way := range p.ways {
		keys[n] = make(Key, len(t.columns))
		for i, name := range t.columns {
			keys[n][name] = way[i]
		}
	}
	return keys
}

// maxKeySteps bounds the search. Only a template that names a column twice, and a
// key that was made to mislead, come to it.
const maxKeySteps = 10_000

// keyParser looks for ways to read a key, by trying the places where the next
// literal stands.
type keyParser struct {
	t     *KeyTemplate
	found []string // :: column -> its value, on the way that is tried
	set   []bool
	ways  [][]string // that fit
	fits  int        // how many these are
	most  int        // ways that are looked for
	steps int
}

// parse reads rest by the parts of the template from n on.
func (p *keyParser) parse(rest string, n int) {
	if p.steps--; p.steps <= 0 || p.fits >= p.most {
		return
	}
	part := p.t.parts[n]
	rest, ok := strings.CutPrefix(rest, part.literal)
	switch {
	case !ok:
	case part.column < 0:
		if rest == "" {
			p.countFit()
		}
	case p.set[part.column]:
		if rest, ok = strings.CutPrefix(rest, p.found[part.column]); ok {
			p.parse(rest, n+1)
		}
	default:
		p.try(rest, n)
	}
}

// try gives the column of part n every value that the next literal may follow.
func (p *keyParser) try(rest string, n int) {
	column, next := p.t.parts[n].column, p.t.parts[n+1]
	p.set[column] = true
	defer func() { p.set[column] = false }()
	if next.column < 0 { // the last literal stands at the end, nowhere else
		if value, ok := strings.CutSuffix(rest, next.literal); ok {
			p.found[column] = value
			p.parse(next.literal, n+1)
		}
		return
	}
	for at := 0; at <= len(rest) && p.fits < p.most && p.steps > 0; at++ {
		i := strings.Index(rest[at:], next.literal)
		if i < 0 {
			return
		}
		at += i
		p.found[column] = rest[:at]
		p.parse(rest[at:], n+1)
	}
}

// countFit counts a way that fits.
func (p *keyParser) countFit() {
	p.fits++
	p.ways = append(p.ways, append([]string(nil), p.found...))
}

// Pattern is a glob-style pattern of Redis' that every key of the template
// matches, and others may.
func (t *KeyTemplate) Pattern() string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(globEscaper.Replace(p.literal))
		if p.column >= 0 {
			b.WriteByte('*')
		}
	}
	return b.String()
}

// globEscaper takes their meaning from the characters that have one in a pattern.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
