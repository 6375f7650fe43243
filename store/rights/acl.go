package rights

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// User is a user of a Redis with the least rights.
type User struct {
	For   string   `json:"for"` // what it is to Stoker: ForCache, ForQueue, ForBoth or ForReaders
	Name  string   `json:"name"`
	Rules []string `json:"rules"` // as ACL SETUSER and an aclfile take them, without a password
}

// What a user is for.
const (
	ForCache   = "cache"
	ForQueue   = "queue"
	ForBoth    = "redis" // cache and queue are one Redis
	ForReaders = "readers"
)

// Users are the users that a spec needs. One that the spec's URL logs in as keeps its name.
func Users(spec *jobs.Spec, scope Scope) []User {
	values, tasks := Cache(spec, scope), Queue(spec, scope)
	readers := User{ForReaders, "stoker-reader", Readers(spec).rules("%R~")}
	if spec.Redis.Shared() {
		return []User{{ForBoth, nameOf(spec.Redis.URL, "stoker"), values.And(tasks).rules("~")}, readers}
	}
	return []User{{ForCache, nameOf(spec.Redis.URL, "stoker-cache"), values.rules("~")},
		{ForQueue, nameOf(spec.Redis.QueueURL, "stoker-queue"), tasks.rules("~")}, readers}
}

// nameOf is who a URL logs in as. The default user is everybody's, and is not taken away.
func nameOf(url jobs.Secret, name string) string {
	if user := connurl.LoginOf(url).User; user != "default" && IsName(user) {
		return user
	}
	return name
}

// IsName reports whether a user can be called so in an aclfile.
func IsName(user string) bool { return user != "" && !strings.ContainsAny(user, " \t\r\n\x00\"'") }

// Notes are what to know of the users of a spec besides their lines.
func Notes(spec *jobs.Spec) (notes []string) {
	for _, job := range spec.Jobs {
		if p := pattern(job); strings.HasPrefix(p, "*") {
			notes = append(notes, "the keys of job "+job.Name+" begin with a column: ~"+p+" reaches other keys "+
				"of the server, too; begin its key template with a text")
		}
	}
	if kindOf(spec.Redis.URL).sentinel || kindOf(spec.Redis.QueueURL).sentinel {
		notes = append(notes, "the Sentinels have users of their own, in sentinel.conf: theirs needs +ping +subscribe "+
			"+sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|replicas and all channels (&*)")
	}
	return append(notes, "readers' rights (%R~) need Redis 7.0 or newer; before that, ~ in place of it, and their "+
		"commands alone keep them from writing")
}

// Password stands in a line where the password belongs. Redis refuses it: a line is not taken by mistake with a
// password that everybody knows.
func (u User) Password() string {
	return "<" + strings.ToUpper(strings.ReplaceAll(cmp.Or(u.For, u.Name), "-", "_")) + "_PASSWORD>"
}

// Line is the user as a line of an aclfile or of redis.conf.
func (u User) Line() string {
	return "user " + u.Name + " on " + u.Password() + " " + strings.Join(u.Rules, " ")
}

// Command is the user as a command for redis-cli. Passwords that the user has stay.
func (u User) Command() string { return "ACL SETUSER " + u.Name + " on " + strings.Join(u.Rules, " ") }

// rules are the least that lets a user do what is needed; keys are marked as they may be used.
func (n Needs) rules(mark string) []string {
	rules := []string{"resetkeys"}
	add := func(rule string) {
		if !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	for _, p := range n.patterns {
		add(mark + p)
	}
	add("resetchannels")
	for _, c := range n.channels {
		add("&" + c)
	}
	add("-@all")
	list := n.commands
	if mark == "~" { // what check asks with
		list = slices.Concat(list, []command{{args: []string{"multi"}}, {args: []string{"exec"}}})
	}
	if n.watched.args != nil {
		list = slices.Concat(list, []command{n.watched, {args: []string{"unwatch"}}})
	}
	if len(n.channels) > 0 {
		list = slices.Concat(list, []command{{args: []string{"subscribe"}}})
	}
	for _, c := range list {
		add("+" + c.name())
	}
	return rules
}
