package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Daemons say where they are and by which spec they work, so that specs that get in each other's way are found out. It
// is for words, and for who waits for a worker: nothing that is written depends on it. Both keys are those of all
// namespaces:
//
//	stoker:daemons   sorted set   <namespace>|<spec>|<since>|<host>:<pid> -> until when it counts, ms of Redis' clock
//	stoker:specs     hash         <namespace>|<spec> -> Usage as JSON
const (
	daemonsKey = jobs.Own + "daemons"
	specsKey   = jobs.Own + "specs"
)

// How often a daemon says that it is there, and for how long that counts.
const (
	BeatEvery = 5 * time.Second
	beatLife  = 20 * time.Second

	registerLife = 7 * 24 * time.Hour // of both keys after the last daemon
)

// Member is one daemon that is there.
type Member struct {
	Namespace jobs.Namespace
	Usage     string    // digest of its Usage
	Since     time.Time // by its own clock
	Place     string    // host:pid
}

func (m Member) String() string {
	return strings.Join([]string{string(m.Namespace), m.Usage, strconv.FormatInt(m.Since.Unix(), 10), m.Place}, "|")
}

// parseMember reads what String has written; ok is false for what a newer version has.
func parseMember(text string) (m Member, ok bool) {
	parts := strings.SplitN(text, "|", 4)
	if len(parts) != 4 {
		return m, false
	}
	since, err := strconv.ParseInt(parts[2], 10, 64)
	return Member{jobs.Namespace(parts[0]), parts[1], time.Unix(since, 0), parts[3]}, err == nil
}

var beatScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZRANGE', KEYS[1], 0, -1)`)

// IsRegister reports whether a key is the register's, and so that of all namespaces.
func IsRegister(key string) bool { return key == daemonsKey || key == specsKey }

// Register is the register of one Redis, of all namespaces.
type Register struct{ c redis.UniversalClient }

// NewRegister returns the register behind the client of the queue, which the caller closes.
func NewRegister(c redis.UniversalClient) *Register { return &Register{c} }

// Beat says that a daemon is there, and returns all that are. The usage is written when it is not there: a beat that
// changes nothing is two commands.
func (r *Register) Beat(ctx context.Context, m Member, u Usage) ([]Member, error) {
	members, err := beatScript.Run(ctx, r.c, []string{daemonsKey}, m.String(), beatLife.Milliseconds(),
		registerLife.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("register the daemon: %w", err)
	}
	specs, err := r.c.HGetAll(ctx, specsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("look at the specs of daemons: %w", err)
	}
	if field := specField(m.Namespace, m.Usage); specs[field] == "" {
		if err := r.keep(ctx, field, u); err != nil {
			return nil, err
		}
	}
	all := parseMembers(members)
	return all, r.forgetLeft(ctx, specs, all)
}

func (r *Register) keep(ctx context.Context, field string, u Usage) error {
	text, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("register the spec of the daemon: %w", err)
	}
	_, err = r.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, specsKey, field, text)
		p.PExpire(ctx, specsKey, registerLife)
		return nil
	})
	if err != nil {
		return fmt.Errorf("register the spec of the daemon: %w", err)
	}
	return nil
}

// forgetLeft forgets the specs that no daemon has. One that comes at the same moment writes its own again.
func (r *Register) forgetLeft(ctx context.Context, specs map[string]string, members []Member) error {
	live := make(map[string]bool)
	for _, m := range members {
		live[specField(m.Namespace, m.Usage)] = true
	}
	for field := range specs {
		if !live[field] {
			if err := r.forget(ctx, field); err != nil {
				return err
			}
		}
	}
	return nil
}

// Members returns all daemons that are there. It changes nothing.
func (r *Register) Members(ctx context.Context) ([]Member, error) {
	now, err := r.c.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("look for daemons: %w", err)
	}
	texts, err := r.c.ZRangeByScore(ctx, daemonsKey, &redis.ZRangeBy{Min: strconv.FormatInt(now.UnixMilli(), 10),
		Max: "+inf"}).Result()
	if err != nil {
		return nil, fmt.Errorf("look for daemons: %w", err)
	}
	return parseMembers(texts), nil
}

func parseMembers(texts []string) (all []Member) {
	for _, text := range texts {
		if m, ok := parseMember(text); ok {
			all = append(all, m)
		}
	}
	return all
}

// Leave says that a daemon is gone. The last of its spec takes that with it.
func (r *Register) Leave(ctx context.Context, m Member) error {
	if err := r.c.ZRem(ctx, daemonsKey, m.String()).Err(); err != nil {
		return fmt.Errorf("take the daemon off the register: %w", err)
	}
	all, err := r.Members(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Namespace == m.Namespace && other.Usage == m.Usage {
			return nil
		}
	}
	return r.forget(ctx, specField(m.Namespace, m.Usage))
}

// Usages returns what the specs of daemons use. One that has not said it yet is left out.
func (r *Register) Usages(ctx context.Context, members []Member) (map[Member]Usage, error) {
	texts, err := r.c.HGetAll(ctx, specsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("look at the specs of daemons: %w", err)
	}
	usages := make(map[Member]Usage)
	for _, m := range members {
		var u Usage
		if err := json.Unmarshal([]byte(texts[specField(m.Namespace, m.Usage)]), &u); err == nil {
			usages[m] = u
		}
	}
	return usages, nil
}

// Purge forgets all that is registered of a namespace. A daemon that lives registers again.
func (r *Register) Purge(ctx context.Context, n jobs.Namespace) error {
	members, err := r.Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Namespace == n {
			if err := r.c.ZRem(ctx, daemonsKey, m.String()).Err(); err != nil {
				return fmt.Errorf("take a daemon off the register: %w", err)
			}
		}
	}
	fields, err := r.c.HGetAll(ctx, specsKey).Result()
	if err != nil {
		return fmt.Errorf("look at the specs of daemons: %w", err)
	}
	for field := range fields {
		if strings.HasPrefix(field, specField(n, "")) {
			if err := r.forget(ctx, field); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Register) forget(ctx context.Context, field string) error {
	if err := r.c.HDel(ctx, specsKey, field).Err(); err != nil {
		return fmt.Errorf("forget the spec of a daemon: %w", err)
	}
	return nil
}

func specField(n jobs.Namespace, usage string) string { return string(n) + "|" + usage }

// HasWorker reports whether a daemon of the namespace is there whose spec has the job.
func (q *Queues) HasWorker(ctx context.Context, job string) (bool, error) {
	r := NewRegister(q.c)
	members, err := r.Members(ctx)
	if err != nil {
		return false, err
	}
	usages, err := r.Usages(ctx, members)
	if err != nil {
		return false, err
	}
	for m, u := range usages {
		if _, has := u.Jobs[job]; has && m.Namespace == q.namespace {
			return true, nil
		}
	}
	return false, nil
}
