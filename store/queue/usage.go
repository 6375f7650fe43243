package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Usage is what a spec uses that another one could use, too.
type Usage struct {
	File     string            `json:"file"`
	Database string            `json:"database"` // host, port and name
	Cache    string            `json:"cache"`    // host, port and number
	Jobs     map[string]string `json:"jobs"`     // :: name -> key template
	Feed     string            `json:"feed"`     // what it leaves in the database to follow changes; "": it follows none
}

// UsageOf says what a spec uses.
func UsageOf(spec *jobs.Spec) Usage {
	u := Usage{File: spec.File, Database: place(spec.Postgres.URL), Cache: place(spec.Redis.URL),
		Jobs: make(map[string]string)}
	for _, job := range spec.Jobs {
		u.Jobs[job.Name] = job.Key.String()
	}
	switch spec.Changes.Source {
	case jobs.SourceWAL:
		u.Feed = "publication " + spec.Changes.Name
	case jobs.SourceOutbox:
		u.Feed = "the outbox"
	}
	return u
}

// place is where a server is, without how we log in.
func place(s jobs.Secret) string {
	text := s.Redacted()
	if _, rest, is := strings.Cut(text, "://"); is {
		text, _, _ = strings.Cut(rest, "?")
	}
	if _, rest, is := strings.Cut(text, "@"); is {
		text = rest
	}
	return text
}

// digest names a usage.
func (u Usage) digest() string {
	b, err := json.Marshal(u)
	if err != nil {
		panic(err) // texts
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// NewMember is a daemon that works by a spec.
func NewMember(spec *jobs.Spec, since time.Time, where string) (Member, Usage) {
	u := UsageOf(spec)
	return Member{spec.Namespace, u.digest(), since, where}, u
}

// rollout is how long two specs may work side by side in one namespace before that is no rollout any more. Workers hand
// tasks back to each other for as long.
const rollout = 15 * time.Minute

// What is said of another spec: its namespace or ours, its file and its host are in all of them.
const (
	intrudes = "another spec is at work with %s in the redis of the queue: %s on %s %s; tasks of one are handed to " +
		"workers of the other, which cannot do them: give each spec a namespace of its own (namespace: NAME), or run " +
		"one"
	sameFeed = "%s of database %s is used by %s (%s on %s), too, and one of them misses changes: %s"
	overlaps = "%s is written by %s (%s on %s), too: a namespace does not keep the keys of jobs apart, and one " +
		"overwrites what the other has written; give them other key templates"
)

// Conflicts says in words where other daemons get in the way of own. It is nothing that two versions of one spec work
// side by side while one replaces the other.
func Conflicts(own Member, uses Usage, others map[Member]Usage) (found []string) {
	for _, other := range slices.SortedFunc(maps.Keys(others), func(a, b Member) int {
		return strings.Compare(a.String(), b.String())
	}) {
		theirs := others[other]
		if other.Namespace == own.Namespace {
			if why := intruder(own, other, uses, theirs); why != "" && other.Usage != own.Usage {
				found = append(found, fmt.Sprintf(intrudes, own.Namespace.InWords(), theirs.File, host(other.Place),
					why))
			}
			continue
		}
		if theirs.Feed != "" && theirs.Feed == uses.Feed && theirs.Database == uses.Database {
			found = append(found, fmt.Sprintf(sameFeed, uses.Feed, uses.Database, other.Namespace.InWords(),
				theirs.File, host(other.Place), feedRemedy(uses)))
		}
		if keys := shared(uses, theirs); theirs.Cache == uses.Cache && len(keys) > 0 {
			found = append(found, fmt.Sprintf(overlaps, strings.Join(keys, ", "), other.Namespace.InWords(),
				theirs.File, host(other.Place)))
		}
	}
	return slices.Compact(found)
}

func feedRemedy(u Usage) string {
	if strings.HasPrefix(u.Feed, "publication ") {
		return "give each spec a changes.name of its own"
	}
	return "only one spec a schema can use source: outbox; use source: wal, or a role whose search_path begins with " +
		"another schema"
}

// intruder says why another spec in the namespace is none that replaces own, or is replaced by it; "" if it may be.
func intruder(own, other Member, uses, theirs Usage) string {
	common, missing := 0, ""
	for _, name := range slices.Sorted(maps.Keys(theirs.Jobs)) {
		if _, has := uses.Jobs[name]; has {
			common++
		} else if missing == "" {
			missing = name
		}
	}
	if common == 0 {
		return "has none of this spec's jobs"
	}
	if side := time.Since(later(own.Since, other.Since)); side < rollout {
		return ""
	}
	switch {
	case theirs.Database != uses.Database:
		return fmt.Sprintf("names another database (%s), for longer than a rollout takes", theirs.Database)
	case missing == "" && len(theirs.Jobs) == len(uses.Jobs):
		return "" // tasks can be done by both
	case missing == "":
		return "lacks jobs of this spec, for longer than a rollout takes"
	}
	return fmt.Sprintf("has jobs that this spec does not have (%s is the first), for longer than a rollout takes",
		missing)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// shared are the key templates that both have.
func shared(a, b Usage) (keys []string) {
	for _, key := range a.Jobs {
		for _, theirs := range b.Jobs {
			if key == theirs && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// host is the part of a place that people know.
func host(place string) string {
	name, _, _ := strings.Cut(place, ":")
	return name
}
