package jobs

import (
	"bytes"
	"net"
	"strings"
)

// Keys of structured log lines, the same in every package.
const (
	LogJob   = "job"
	LogDue   = "due"
	LogTask  = "task_id"
	LogCause = "cause"
	LogErr   = "err"
)

// reserved is how no key of the user's may begin: with the mark of the book's own fields, or as
// our records and Asynq's.
var reserved = [][]byte{[]byte("#"), []byte("stoker:"), []byte("asynq:")}

// Reserved returns the reserved prefix that a key begins with; "" if there is none. A template
// that begins with a column can come to any of them, whatever was checked of its text.
func Reserved(key []byte) string {
	for _, prefix := range reserved {
		if bytes.HasPrefix(key, prefix) {
			return string(prefix)
		}
	}
	return ""
}

// IsName reports whether a job may be called s: [a-z0-9][a-z0-9-]*. Names become
// parts of Redis keys, task IDs, metric labels and URL paths.
func IsName(s string) bool {
	return s != "" && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// IsLoopback reports whether only this machine reaches a host: localhost, a name below it, or a
// loopback address. The host comes without a port and may be in brackets.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
