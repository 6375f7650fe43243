package web

import (
	"errors"
	"net/url"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// masker takes the spec's secrets out of text that we did not word ourselves:
// drivers quote the address they could not reach, and net/url quotes all of it.
type masker struct{ replacer *strings.Replacer }

const masked = "***"

// minMasked keeps short secrets from blanking out ordinary words.
const minMasked = 8

func newMasker(spec *jobs.Spec) masker {
	var pairs []string
	add := func(secret, shown string) {
		if len(secret) >= minMasked {
			pairs = append(pairs, secret, shown)
		}
	}
	for _, s := range []jobs.Secret{spec.Postgres.URL, spec.Changes.URL, spec.Redis.URL, spec.Redis.QueueURL} {
		add(s.Reveal(), masked)
		if u, err := url.Parse(s.Reveal()); err == nil && u.User != nil {
			add(u.User.String()+"@", masked+"@")
			// A password that is the user's name as well is no secret, and masking it
			// would garble every message that names the user.
			if password, ok := u.User.Password(); ok && password != u.User.Username() {
				add(password, masked)
			}
		}
	}
	add(spec.Admin.Token.Reveal(), masked)
	for _, n := range spec.Notify {
		add(n.URL.Reveal(), masked)
		add(n.Secret.Reveal(), masked)
	}
	return masker{strings.NewReplacer(pairs...)}
}

func (m masker) text(s string) string { return m.replacer.Replace(s) }

func (m masker) record(r *store.Record) {
	r.Error = m.text(r.Error)
	r.Warning = m.text(r.Warning)
}

// joinDistinct words several errors as one line. Errors with one cause, as four
// reads of a Redis that is down, are reported once.
func joinDistinct(errs []error) string {
	var lines []string
	seen := map[string]bool{}
	for _, err := range errs {
		cause := err.Error()
		if inner := errors.Unwrap(err); inner != nil {
			cause = inner.Error()
		}
		if !seen[cause] {
			seen[cause] = true
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines, "; ")
}
