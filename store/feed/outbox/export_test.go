package outbox

import "github.com/stokerhq/stoker/store/feed"

// WarnHeld is what the check says of a transaction that is open for long.
func WarnHeld(held feed.Held) (messages []string) {
	c := &feed.Checkup{}
	warnHeld(c, held)
	for _, p := range c.Problems {
		messages = append(messages, p.Message)
	}
	return messages
}

// Unacked is what a poll is told of the rows that are read and not done.
func (o *Feed) Unacked() string {
	spans, _ := o.unackedSpans()
	return string(multirange(spans))
}

// Ranges are the ids of polls as one is told of them.
func Ranges(polls ...[]int64) string {
	var spans []span
	for _, ids := range polls {
		spans = append(spans, spansOf(ids)...)
	}
	return string(multirange(join(spans)))
}
