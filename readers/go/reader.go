// Package reader reads what Stoker keeps warm, and answers for it over HTTP.
//
//	backend, err := reader.Open(os.Getenv("REDIS_URL"), reader.RedisConfig{})
//	r := reader.New(reader.Config{Backend: backend, Doorbell: reader.NewDoorbell(stokerURL, token, 0)})
//	defer r.Close()
//	product := &reader.Job{Name: "product", Key: "product:{id}", Freshness: 5 * time.Minute, Load: loadProduct}
//	r.Serve(w, req, product, reader.Key{"id": req.PathValue("id")})
//
// A read has one of four outcomes: the value was in Redis (hit); it was not, and was loaded (cold); it was not, and
// there is no row (absent); or Redis, or on a miss all who could load it, did not answer (down). Nothing here writes a
// key: a reader cannot know whether a newer value was written since its query began. Only Stoker can.
//
//	GET ── value ──> hit
//	    └─ no key ── doorbell ── loaded ──> GET ──> cold
//	                          ├─ absent ──────────> absent
//	                          └─ no answer in time ── the application's Load ──> cold, absent, or down
package reader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"
)

// Outcome says what became of a read.
type Outcome string

// The outcomes.
const (
	Hit    Outcome = "hit"    // the value was in Redis
	Cold   Outcome = "cold"   // it was not, and was loaded
	Absent Outcome = "absent" // it was not, and there is no row
	Down   Outcome = "down"   // Redis, or on a miss all who could load it, did not answer
)

// Source says where the bytes of an answer come from.
type Source string

// The sources.
const (
	FromRedis    Source = "redis"
	FromDoorbell Source = "doorbell" // Stoker has loaded the key because it was rung for
	FromLoad     Source = "load"     // the application's own query
	FromStale    Source = "stale"    // a copy of an earlier answer, while nobody can be asked
	FromNothing  Source = ""
)

// Answer is what a read came to. Without a Body it is absent or down.
type Answer struct {
	Outcome Outcome
	Source  Source
	Body    []byte // not to be changed: requests share it
}

// Key is the values of a job's key columns, as Postgres prints them.
type Key map[string]string

// Job is a job of stoker.yaml, as far as a reader must know it.
type Job struct {
	Name string
	Key  string // its key template

	// Freshness is how long a client may keep the answer: the job's schedule, or its objective. 0: it must ask again
	// each time, which an ETag makes cheap. Never the TTL in Redis, which says how long an old value is better than
	// none.
	Freshness time.Duration

	// Load is the job's query for one key; nil bytes: no row. nil: only Stoker loads. It must not write the key.
	Load func(ctx context.Context, key Key) ([]byte, error)

	MediaType string // default application/json
}

// KeyOf is the key in Redis. It panics when a column is missing, which is a mistake of the program.
func (j *Job) KeyOf(key Key) string {
	var b strings.Builder
	for rest := j.Key; rest != ""; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:at])
		rest = rest[at:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			b.WriteByte(rest[0])
			rest = rest[2:]
			continue
		}
		column, after, ok := strings.Cut(rest[1:], "}")
		value, given := key[column]
		if !ok || !given {
			panic(fmt.Sprintf("reader: key %v of job %s does not fit its template %s", key, j.Name, j.Key))
		}
		b.WriteString(value)
		rest = after
	}
	return b.String()
}

// Config is what a Reader is made of.
type Config struct {
	Backend  Backend   // required; Close closes it
	Doorbell *Doorbell // nil: Stoker is not asked

	StaleFor  time.Duration // how old a copy may be that is sent while nobody can be asked; 0: none is
	StaleSize int           // bytes of all copies; default 16 MiB

	Loads       int           // at once in this process; default 10
	LoadTimeout time.Duration // default 5 s

	BreakerLimit int           // failures in a row after which a server is spared; default 5
	BreakerPause time.Duration // for how long; default 1 s

	Logger *slog.Logger // default slog.Default()
}

// Reader reads keys. It is safe for concurrent use; a process has one.
type Reader struct {
	cfg     Config
	log     *slog.Logger
	flights flights
	copies  copies
	places  chan struct{} // of loads

	redisUp, stokerUp, loadUp breaker
}

// New returns a Reader. Its Backend and Doorbell are closed by Close.
func New(cfg Config) *Reader {
	cfg.StaleSize = orDefault(cfg.StaleSize, 16<<20)
	cfg.Loads = orDefault(cfg.Loads, 10)
	cfg.LoadTimeout = orDefault(cfg.LoadTimeout, 5*time.Second)
	up := breaker{limit: orDefault(cfg.BreakerLimit, 5), pause: orDefault(cfg.BreakerPause, time.Second)}
	r := &Reader{cfg: cfg, log: cfg.Logger, copies: copies{bound: cfg.StaleFor, size: cfg.StaleSize},
		places: make(chan struct{}, cfg.Loads)}
	r.redisUp.limit, r.redisUp.pause = up.limit, up.pause
	r.stokerUp.limit, r.stokerUp.pause = up.limit, up.pause
	r.loadUp.limit, r.loadUp.pause = up.limit, up.pause
	if r.log == nil {
		r.log = slog.Default()
	}
	return r
}

func orDefault[T int | time.Duration](v, usual T) T {
	if v == 0 {
		return usual
	}
	return v
}

// Close waits for loads that are under way, which time-outs bound, and closes the Backend and the Doorbell.
func (r *Reader) Close() error {
	r.flights.wait()
	if r.cfg.Doorbell != nil {
		r.cfg.Doorbell.close()
	}
	return r.cfg.Backend.Close()
}

// errDown says that who was asked did not answer, or is spared.
var errDown = errors.New("down")

// Read reads one key. When ctx ends first the answer is Down; what was begun goes on for the others who wait for it.
func (r *Reader) Read(ctx context.Context, job *Job, key Key) Answer {
	name, begun := job.KeyOf(key), time.Now()
	body, err := r.get(ctx, name)
	if body != nil {
		r.copies.keep(name, body)
		return Answer{Hit, FromRedis, body}
	}
	key = maps.Clone(key) // it outlives the request
	answer, err := r.flights.join(ctx, name, begun, func(ctx context.Context) Answer {
		return r.missed(ctx, job, key, name, err != nil)
	})
	if err != nil {
		return Answer{Outcome: Down}
	}
	return answer
}

// get returns the value in Redis; nil without an error: there is no key.
func (r *Reader) get(ctx context.Context, name string) ([]byte, error) {
	if !r.redisUp.allows() {
		return nil, errDown
	}
	body, err := r.cfg.Backend.Get(ctx, name)
	if err != nil && ctx.Err() != nil {
		return nil, errDown // the client has hung up: that says nothing of Redis
	}
	r.redisUp.note(err == nil)
	if err != nil {
		r.log.Warn("redis did not answer", "err", err)
		return nil, errDown
	}
	return body, nil
}

// missed is what one of those does who have missed a key, for all of them.
func (r *Reader) missed(ctx context.Context, job *Job, key Key, name string, down bool) Answer {
	state := ""
	if !down {
		state = r.ring(ctx, job, key)
	}
	if state == "loaded" {
		body, err := r.get(ctx, name)
		if body != nil {
			r.copies.keep(name, body)
			return Answer{Cold, FromDoorbell, body}
		}
		down = err != nil
	}
	if state != "absent" {
		body, err := r.load(ctx, job, key)
		switch {
		case err != nil:
			if stale := r.copies.get(name); stale != nil {
				return Answer{Down, FromStale, stale}
			}
			return Answer{Outcome: Down}
		case body != nil && down:
			r.copies.keep(name, body)
			return Answer{Down, FromLoad, body}
		case body != nil:
			r.copies.keep(name, body)
			return Answer{Cold, FromLoad, body}
		}
	}
	r.copies.drop(name)
	return Answer{Outcome: Absent}
}

// ring asks Stoker to load a key and returns what it says of it; empty: nothing in time.
func (r *Reader) ring(ctx context.Context, job *Job, key Key) string {
	if r.cfg.Doorbell == nil || !r.stokerUp.allows() {
		return ""
	}
	state, err := r.cfg.Doorbell.ring(ctx, job, key)
	if errors.Is(err, context.DeadlineExceeded) {
		return "" // the query takes longer: Stoker goes on, and the next reader finds the key
	}
	r.stokerUp.note(err == nil)
	if err != nil {
		r.log.Warn("stoker did not load a key", "job", job.Name, "err", err)
	}
	return state
}

// load asks the application's database.
func (r *Reader) load(ctx context.Context, job *Job, key Key) ([]byte, error) {
	if job.Load == nil || !r.loadUp.allows() {
		return nil, errDown
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.LoadTimeout)
	defer cancel()
	var body []byte
	var err error
	select {
	case r.places <- struct{}{}:
		body, err = job.Load(ctx, key)
		<-r.places
	case <-ctx.Done():
		err = fmt.Errorf("wait for one of %d loads to end: %w", r.cfg.Loads, ctx.Err())
	}
	r.loadUp.note(err == nil)
	if err != nil {
		r.log.Warn("a key was not loaded", "job", job.Name, "err", err)
		return nil, errDown
	}
	return body, nil
}
