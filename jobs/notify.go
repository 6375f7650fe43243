package jobs

// Notify is where what needs a person is sent: one POST an event.
type Notify struct {
	URL    Secret  // many receivers have their token in it
	Secret Secret  // signs the body, as Standard Webhooks say; empty: unsigned
	On     []Event // in the order of the file; default all
	Format NotifyFormat
}

// NotifyFormat is the shape of a body.
type NotifyFormat string

// The formats.
const (
	NotifyJSON  NotifyFormat = "json"  // {"type", "timestamp", "data"}
	NotifySlack NotifyFormat = "slack" // {"text"}, which Slack, Mattermost and others show
)

// Event is a kind of what is notified.
type Event string

// The events.
const (
	EventRunFailed  Event = "run_failed"  // the last run of a job failed
	EventShrinkHeld Event = "shrink_held" // keys that are gone from a result are held by shrink_guard
	EventStaleFound Event = "stale_found" // the audit found an old value
	EventCold       Event = "cold"        // keys of a job are not in Redis
	EventFeedLost   Event = "feed_lost"   // no replica follows the changes

	EventSpecRefused Event = "spec_refused" // a changed spec is wrong: the one before goes on
)

// Events are all of them.
var Events = []Event{EventRunFailed, EventShrinkHeld, EventStaleFound, EventCold, EventFeedLost,
	EventSpecRefused}
