package store

import (
	"slices"
	"strings"
)

// An origin names a history of Postgres by its signs, with slashes in between: system
// identifier, timeline, start of the server, and the processes that the server itself
// has started. A sign that could not be read is empty.
const originSigns = 4

// signProcesses is the sign that is a list: a few of its processes end and are started
// anew while a server runs, but the checkpointer, the background writer and the writer
// of the log live until it stops, or until it recovers from a crash.
const signProcesses = 3

// livingProcesses is how many processes two snapshots of one history have in common, at
// least. One alone could be another process with a number that was used before.
const livingProcesses = 2

// SameHistory reports whether two origins may be of one history: no sign that both
// have differs. The order of the two makes no difference.
func SameHistory(a, b string) bool {
	as, bs, ok := originPair(a, b)
	if !ok {
		return a == b
	}
	for i := range originSigns {
		if as[i] == "" || bs[i] == "" || as[i] == bs[i] {
			continue
		}
		if i != signProcesses || !overlap(processes(as[i]), processes(bs[i])) {
			return false
		}
	}
	return true
}

// FullerOrigin is known with the signs that it lacks, as far as seen, an origin of the
// same history, has them.
func FullerOrigin(known, seen string) string {
	ks, ss, ok := originPair(known, seen)
	if !ok {
		return known
	}
	for i := range originSigns {
		if ks[i] == "" {
			ks[i] = ss[i]
		}
	}
	return strings.Join(ks, "/")
}

func originPair(a, b string) (as, bs []string, ok bool) {
	as, bs = strings.Split(a, "/"), strings.Split(b, "/")
	return as, bs, len(as) == originSigns && len(bs) == originSigns
}

func processes(sign string) []string { return strings.Split(sign, ",") }

// overlap reports whether two lists of processes are of one history.
func overlap(a, b []string) bool {
	common := 0
	for _, p := range a {
		if slices.Contains(b, p) {
			common++
		}
	}
	return common >= min(livingProcesses, len(a), len(b))
}
