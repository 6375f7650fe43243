package cache

import (
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache/dial"
)

// Open returns a client for a go-redis URL, as OpenAt does for a server of the spec.
func Open(secret jobs.Secret) (redis.UniversalClient, error) {
	return OpenAt(jobs.Endpoint{Field: "redis", URL: secret})
}

// OpenAt returns a client for a server of the spec. It does not connect.
func OpenAt(e jobs.Endpoint) (redis.UniversalClient, error) { return dial.Open(e, dial.Patience{}) }

// OpenForAsynq is OpenAt for the client of an Asynq server, whose commands have no
// deadline of their own: one that is not answered soon must fail, or it holds up
// heartbeats and the end of the process.
func OpenForAsynq(e jobs.Endpoint) (redis.UniversalClient, error) {
	return dial.Open(e, dial.Patience{Read: 2 * time.Second, Retries: 1})
}
