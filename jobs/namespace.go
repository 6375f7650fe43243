package jobs

import "strings"

// Namespace keeps what one spec has in Redis apart from what other specs have there: every key of Stoker's, and every
// queue. "" is none. The keys that jobs write are not in it: API nodes know them by the jobs' key templates.
type Namespace string

// Own is how every key of Stoker's begins, and in namespaced keys stands before the name: nothing of a spec without a
// namespace is called so.
const (
	Own        = "stoker:"
	namespaced = Own + "ns:"
)

// Prefix is how the names of all keys of the namespace begin.
func (n Namespace) Prefix() string {
	if n == "" {
		return Own
	}
	return namespaced + string(n) + ":"
}

// Key names a key of the namespace.
func (n Namespace) Key(name string) string { return n.Prefix() + name }

// HasKey reports whether a key is one of the namespace, of those that Key names.
func (n Namespace) HasKey(key string) bool {
	if n == "" && strings.HasPrefix(key, namespaced) {
		return false
	}
	return strings.HasPrefix(key, n.Prefix())
}

// queueMark stands between a namespace and what a queue is called in it. It is in no namespace.
const queueMark = ":"

// Queue is what Asynq calls one of the Queues in the namespace.
func (n Namespace) Queue(name string) string {
	if n == "" {
		return name
	}
	return string(n) + queueMark + name
}

// Queues is what Asynq calls all of them.
func (n Namespace) Queues() []string {
	names := make([]string, len(Queues))
	for i, name := range Queues {
		names[i] = n.Queue(name)
	}
	return names
}

// NamespaceOf returns the namespace of a queue, by what Asynq calls it; ok is false for a queue that is not Stoker's.
func NamespaceOf(queue string) (n Namespace, ok bool) {
	for _, name := range Queues {
		if queue == name {
			return "", true
		}
		if of, is := strings.CutSuffix(queue, queueMark+name); is {
			return Namespace(of), true
		}
	}
	return "", false
}

// InWords is the namespace for people.
func (n Namespace) InWords() string {
	if n == "" {
		return "no namespace"
	}
	return "namespace " + string(n)
}
