package verify

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// seenKeys remembers by their hash which keys the query has, as many as memory is
// bounded to: it is not asked for them again. It is filled, sorted, and then asked.
// A hash that two keys share hides an orphan once in some 10^13 of them.
type seenKeys struct {
	seed   maphash.Seed
	hashes []uint64
}

// mostSeen takes 32 MB. Of a larger keyset the rest is asked for again.
const mostSeen = 1 << 22

func (k *seenKeys) add(key string) {
	if k.hashes == nil {
		k.seed = maphash.MakeSeed()
	}
	if len(k.hashes) < mostSeen {
		k.hashes = append(k.hashes, maphash.String(k.seed, key))
	}
}

func (k *seenKeys) sort() { slices.Sort(k.hashes) }

func (k *seenKeys) has(key string) bool {
	if k.hashes == nil {
		return false
	}
	_, there := slices.BinarySearch(k.hashes, maphash.String(k.seed, key))
	return there
}

// scanOrphans looks through the cache for keys that the job's template can have made
// and its query does not have. Each is in doubt until it has been asked for.
func (v *comparison) scanOrphans(ctx context.Context, fits keyPrefilter) error {
	v.seen.sort()
	var page []*candidate
	collect := func(keys []string) error {
		for _, key := range keys {
			if v.seen.has(key) || jobs.Reserved([]byte(key)) != "" || !v.fits(key, fits) {
				continue
			}
			if page = append(page, &candidate{key: key}); len(page) == jobs.MaxKeys {
				if err := v.suspect(ctx, page); err != nil {
					return err
				}
				page = nil
			}
		}
		return nil
	}
	var err error
	if len(v.job.Key.Columns()) == 0 { // it has one key, which need not be looked for
		err = collect([]string{string(v.job.Key.Append(nil, nil))})
	} else {
		err = v.env.cache.Scan(ctx, v.job.Key.Pattern(), collect)
	}
	if err != nil {
		return err
	}
	return v.suspect(ctx, page)
}

// fits reports whether the job can have made a key, and counts those of which
// that cannot be told.
func (v *comparison) fits(key string, fits keyPrefilter) bool {
	values, fit := v.job.Key.Parse(key)
	if fit == jobs.NoFit {
		return false
	}
	_, askable := (&candidate{key: key}).keyOf(v.job)
	if askable && fits.all(values) {
		return true
	}
	v.out.Unclear++
	return false
}

// suspect puts those of the keys in doubt that the query does not have. The
// others were compared, or have come since.
func (v *comparison) suspect(ctx context.Context, page []*candidate) error {
	if len(page) == 0 {
		return nil
	}
	l, err := v.env.load(ctx, v.job, page)
	if err != nil {
		return err
	}
	for _, s := range page {
		_, has := l.want[s.key]
		switch {
		case l.unclear[s.key]:
			v.out.Unclear++
		case has:
		case v.recheck.open() == mostDoubts:
			return errTooMany
		default:
			v.recheck.add(s)
		}
	}
	v.watch()
	return nil
}

// fitter recognizes values that a key column's type cannot have made, so that Postgres
// is not asked for keys of somebody else's that only look like the job's: each
// would cost a refusal. What it lets through, Postgres decides.
type keyPrefilter map[string]func(text string) bool

// The types whose texts are recognized without Postgres.
var fitOIDs = map[uint32]func(string) bool{
	21:   func(s string) bool { return isInt(s, 16) },
	23:   func(s string) bool { return isInt(s, 32) },
	20:   func(s string) bool { return isInt(s, 64) },
	2950: func(s string) bool { return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == "" },
	16:   func(s string) bool { return s == "true" || s == "false" },
	1700: func(s string) bool { return s == "NaN" || strings.Trim(s, "0123456789.-+eInfty") == "" },
}

func isInt(s string, bits int) bool {
	n, err := strconv.ParseInt(s, 10, bits)
	return err == nil && strconv.FormatInt(n, 10) == s
}

func newKeyPrefilter(job *jobs.Job, r *store.Reading) keyPrefilter {
	f := make(keyPrefilter)
	for i, name := range job.Key.Columns() {
		if fits, ok := fitOIDs[r.Columns[r.Keys[i]].OID]; ok {
			f[name] = fits
		}
	}
	return f
}

func (f keyPrefilter) all(key jobs.Key) bool {
	for name, value := range key {
		if fits, ok := f[name]; ok && !fits(value) {
			return false
		}
	}
	return true
}
