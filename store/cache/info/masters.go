package info

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Masters are the run ids of servers, in one text that Joined reads.
func Masters(nodes []Node) string {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.RunID
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// Masters asks who the masters are; "" where they do not say.
func (r *Reader) Masters(ctx context.Context) (string, error) {
	nodes, err := r.Read(ctx)
	if errors.Is(err, ErrNoInfo) {
		return "", nil
	}
	return Masters(nodes), err
}

// Joined reports whether among the masters there are now is one that was not known: it was started again, a replica
// has taken another one's place, or it is new. If none were known, none has joined. One that is gone is no news: who
// has its slots is.
func Joined(now, known string) bool {
	list := strings.Fields(known)
	return len(list) > 0 && slices.ContainsFunc(strings.Fields(now), func(id string) bool {
		return !slices.Contains(list, id)
	})
}
