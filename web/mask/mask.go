// Package mask takes the secrets of a spec out of texts that are shown.
package mask

import (
	"net/url"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Masker takes the spec's secrets out of text that we did not word ourselves:
// drivers quote the address they could not reach, and net/url quotes all of it.
type Masker struct{ replacer *strings.Replacer }

// Masked stands in place of a secret.
const Masked = "***"

// minMasked keeps short secrets from blanking out ordinary words.
const minMasked = 8

// New returns a Masker of the secrets of a spec.
func New(spec *jobs.Spec) Masker {
	var pairs []string
	add := func(secret, shown string) {
		if len(secret) >= minMasked {
			pairs = append(pairs, secret, shown)
		}
	}
	for _, s := range []jobs.Secret{spec.Postgres.URL, spec.Changes.URL, spec.Redis.URL, spec.Redis.QueueURL} {
		add(s.Reveal(), Masked)
		if u, err := url.Parse(s.Reveal()); err == nil && u.User != nil {
			add(u.User.String()+"@", Masked+"@")
			// A password that is the user's name as well is no secret, and masking it
			// would garble every message that names the user.
			if password, ok := u.User.Password(); ok && password != u.User.Username() {
				add(password, Masked)
			}
		}
	}
	add(spec.Admin.Token.Reveal(), Masked)
	for _, n := range spec.Notify {
		add(n.URL.Reveal(), Masked)
		add(n.Secret.Reveal(), Masked)
	}
	return Masker{strings.NewReplacer(pairs...)}
}

// Text returns s without them.
func (m Masker) Text(s string) string { return m.replacer.Replace(s) }

// Record takes them out of what went wrong in a run.
func (m Masker) Record(r *store.Record) {
	r.Error = m.Text(r.Error)
	r.Warning = m.Text(r.Warning)
}
