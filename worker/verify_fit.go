package worker

import (
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// keyPrefilter tells values that a key column's type cannot have made, so that Postgres
// is not asked for keys of somebody else's that only look like the job's: each
// would cost a refusal. What it lets through, Postgres decides.
type keyPrefilter map[string]func(text string) bool

// The types whose texts are told at a glance.
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
