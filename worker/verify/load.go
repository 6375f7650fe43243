package verify

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// wanted is what the query gives of a key.
type wanted struct {
	print  fingerprint
	digest uint64 // as a manifest has it
}

// loaded is what the query gives of some keys, in one snapshot.
type loaded struct {
	snapshot store.Snapshot
	want     map[string]wanted // :: key -> what it should have; a key that should have nothing is not there
	unclear  map[string]bool   // keys that the job does not make of the values they were read back to
}

// keyOf returns the values of the suspect's key columns; ok is false where its key
// does not tell them.
func (s *candidate) keyOf(job *jobs.Job) (jobs.Key, bool) {
	key, fit := s.values, jobs.OneFit
	if key == nil {
		key, fit = job.Key.Parse(s.key)
	}
	if fit != jobs.OneFit {
		return nil, false
	}
	for _, value := range key {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return nil, false // Postgres has no such text
		}
	}
	return key, true
}

// load asks the job's refresh query what keys should have, at most jobs.MaxKeys
// of them. Nothing is written.
func (env *Verifier) load(ctx context.Context, job *jobs.Job, list []*candidate) (loaded, error) {
	l := loaded{want: make(map[string]wanted, len(list)), unclear: make(map[string]bool)}
	var names []string
	var keys []jobs.Key
	for _, s := range list {
		if key, ok := s.keyOf(job); ok {
			names, keys = append(names, s.key), append(keys, key)
		} else {
			l.unclear[s.key] = true
		}
	}
	for len(keys) > 0 {
		err := env.source.Refresh(ctx, job, keys, func(r *store.Reading) error { return l.read(job, names, r) })
		misfit, is := errors.AsType[*store.KeyValueError](err)
		if !is {
			return l, err
		}
		// A key that is none of the job's must not cost the others.
		for i := len(keys) - 1; i >= 0; i-- {
			if keys[i][misfit.Column] == misfit.Value {
				l.unclear[names[i]] = true
				names, keys = slices.Delete(names, i, i+1), slices.Delete(keys, i, i+1)
			}
		}
	}
	return l, nil
}

// read takes the rows of a reading that was asked for names.
func (l *loaded) read(job *jobs.Job, names []string, r *store.Reading) error {
	l.snapshot = r.Snapshot
	clear(l.want)
	empty := func(b *store.Batch) (*store.Batch, error) {
		if b == nil {
			b = &store.Batch{}
		}
		b.Reset()
		return b, nil
	}
	s, err := render.New(job, r, empty)
	if err != nil {
		return err
	}
	if err := l.checkGiven(s, names, r.Given); err != nil {
		return err
	}
	f := fingerprinter{job}
	s.Uncompressed() // what Redis has is decompressed instead
	s.State = func(key, value []byte) (render.CacheState, error) {
		face, err := f.made(value)
		if face.there() {
			l.want[string(key)] = wanted{face, manifest.Digest(value)}
		}
		return render.Absent, err
	}
	return s.RenderAll(r.Rows, func(int64) {})
}

// checkGiven holds the asked keys to the values as Postgres reads them: a key that would
// be made another way, 007 for 7, is none of the job's.
func (l *loaded) checkGiven(s *render.Renderer, names []string, given []store.Row) error {
	narrow := s.ForKeyColumns()
	for i, row := range given {
		key, ok, err := narrow.Key(nil, row)
		if err != nil {
			if err = narrow.SkipBad(err); err != nil {
				return err
			}
			ok = false
		}
		if i < len(names) && (!ok || string(key) != names[i]) {
			l.unclear[names[i]] = true
		}
	}
	return nil
}
