package store

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Refusal is an answer with which Redis refuses whatever it is sent, or every write: its data is safe, and
// the same command is taken again once an operator, or time, has removed the reason.
type Refusal struct {
	Code   string // the first word of the answer: NOREPLICAS
	Answer string // Redis' own words, from the code on
	Remedy string // what to do about it
}

func (r Refusal) String() string { return r.Answer + " (" + r.Remedy + ")" }

// remedies are the next steps for the codes with which Redis refuses.
var remedies = map[string]string{
	"NOREPLICAS": "too few replicas follow this redis: bring them back, or lower its min-replicas-to-write",
	"MISCONF": "redis cannot save its data: mend its disk (`redis-cli INFO persistence`, and its log), or set its " +
		"stop-writes-on-bgsave-error to no",
	"READONLY": "this redis is a replica: give the URL of the primary, or one of Sentinel with ?master_name=, which " +
		"follows a failover",
	"OOM":     "redis is full: raise maxmemory, or choose an eviction policy for the cache",
	"LOADING": "redis loads its data: it answers when it has",
	"BUSY":    "a script keeps redis busy: wait for its end, or end it with `redis-cli SCRIPT KILL`",
	"CLUSTERDOWN": "the cluster does not serve all of its slots: `redis-cli --cluster check` names the nodes that " +
		"are missing",
	"MASTERDOWN": "this redis is a replica that has lost its primary: give the URL of the primary",
	"NOPERM": "grant the right to the user in the URL: `stoker check` names all that are missing, and the docs on " +
		"operations have the ACL",
	"NOAUTH":    "redis wants a password: write redis://user:password@host:6379",
	"WRONGPASS": "the user or the password in the URL is wrong, or the user is off",
	"MOVED":     "this redis is a node of a Redis Cluster: add ?addr=host:port of a node to the URL",
	"ASK":       "this redis is a node of a Redis Cluster: add ?addr=host:port of a node to the URL",
	"TRYAGAIN":  "the cluster moves slots: try again when it has",
	"DENIED":    "redis takes no connections from other machines: set its bind address and a password",
	"EXECABORT": "redis refused a command of the transaction; where it is full, raise maxmemory, or choose an " +
		"eviction policy for the cache",
}

// refusals finds Redis' words in the text of an error: Asynq and older servers put text of their own before them.
var refusals = regexp.MustCompile(`(?:^|[\s:(-])((NOREPLICAS|MISCONF|READONLY|OOM|LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|` +
	`NOPERM|NOAUTH|WRONGPASS|MOVED|ASK|TRYAGAIN|DENIED|EXECABORT) [A-Za-z0-9'"][^\n]*)`)

// scriptRefusals finds a missing right of a command in a script, for which Redis 7 has no code.
var scriptRefusals = regexp.MustCompile(`((?:ERR )?The user executing the script can't [^\n]*)`)

// RefusalIn returns Redis' refusal in err, if there is one.
func RefusalIn(err error) (Refusal, bool) {
	if err == nil || Permanent(err) {
		return Refusal{}, false
	}
	if _, is := errors.AsType[*QueryError](err); is {
		return Refusal{}, false
	}
	return RefusalInText(err.Error())
}

// RefusalInText is RefusalIn for an error of which only the text was kept, as that of a task's last try.
func RefusalInText(text string) (Refusal, bool) {
	m := refusals.FindStringSubmatch(text)
	if m == nil {
		if m = scriptRefusals.FindStringSubmatch(text); m == nil {
			return Refusal{}, false
		}
		m = append(m, "NOPERM")
	}
	r := Refusal{Code: m[2], Answer: m[1], Remedy: remedies[m[2]]}
	if before, _, again := strings.Cut(r.Answer, " ("+r.Remedy); again { // WithRemedy has added it
		r.Answer = before
	}
	return r, true
}

// WithRemedy adds to a refusal of Redis what to do about it. Any other error stays as it is.
func WithRemedy(err error) error {
	r, is := RefusalIn(err)
	if !is || strings.Contains(err.Error(), r.Remedy) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, r.Remedy)
}
