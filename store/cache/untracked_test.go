package cache

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// story is what runs and refreshes do to one key, k, in a book of its own.
type story struct {
	*testing.T
	c     *Cache
	redis *redis.Client
	errs  []error
}

var storyJob = &jobs.Job{Name: "story", Type: jobs.TypeString, TTL: time.Hour}

func (s *story) check(err error) {
	if err != nil {
		s.errs = append(s.errs, err)
	}
}

func (s *story) armed() *Armed {
	s.Helper()
	a, err := s.c.Renew(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return a
}

func (s *story) fence(clock uint64, grace time.Duration) {
	s.Helper()
	_, err := s.c.Fence(s.Context(), s.armed(), store.Stamp{Epoch: 1, Clock: clock}, [][]byte{[]byte("k")}, grace)
	s.check(err)
}

// put writes k, or removes it, by a claim.
func (s *story) put(put func(*Claim, *store.Batch) (Outcome, error), cl *Claim, remove bool) {
	s.Helper()
	var b store.Batch
	if remove {
		b.Remove([]byte("k"))
	} else {
		b.Buf = append(b.Buf, "kv"...)
		b.Add(0, 1, time.Hour)
	}
	_, err := put(cl, &b)
	s.check(err)
}

func (s *story) refresh(clock uint64) {
	s.Helper()
	cl := s.c.ClaimRefresh(s.armed(), storyJob, store.Stamp{Epoch: 1, Clock: clock})
	s.put(func(cl *Claim, b *store.Batch) (Outcome, error) { return s.c.Put(s.Context(), cl, b) }, cl, false)
}

func (s *story) claim(clock uint64) *Claim {
	s.Helper()
	cl, err := s.c.ClaimRun(s.Context(), s.armed(), storyJob, store.Stamp{Epoch: 1, Clock: clock}, NewID())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(cl.Close)
	return cl
}

// complete is the end of a run that has k in its result, or has not.
func (s *story) complete(cl *Claim, has bool) {
	s.Helper()
	untracked, err := s.c.Untracked(s.Context(), storyJob.Name)
	s.check(err)
	switch _, is := untracked.Keys["k"]; {
	case has && is:
		s.check(s.c.ForgetUntracked(s.Context(), cl, [][]byte{[]byte("k")}))
	case is:
		s.put(func(cl *Claim, b *store.Batch) (Outcome, error) { return s.c.PutUntracked(s.Context(), cl, b) }, cl,
			true)
	}
}

// want is whether k is there, and whether it is untracked.
func (s *story) want(there, untracked bool) {
	s.Helper()
	list, err := s.c.Untracked(s.Context(), storyJob.Name)
	s.check(err)
	_, is := list.Keys["k"]
	if got := s.redis.Exists(s.Context(), "k").Val() == 1; got != there || is != untracked {
		s.check(fmt.Errorf("k is there: %v, want %v; untracked: %v, want %v", got, there, is, untracked))
	}
}

// Each ends with k as it must be known: one that is there is untracked, unless a
// manifest has it.
var stories = map[string]func(*story){
	"brought by a refresh, and its row goes unseen": func(s *story) {
		s.fence(10, 0)
		s.refresh(10)
		s.want(true, true)
		s.complete(s.claim(12), false)
		s.want(false, false)
	},
	"written by a run, and refreshed": func(s *story) {
		cl := s.claim(9)
		s.put(func(cl *Claim, b *store.Batch) (Outcome, error) { return s.c.Put(s.Context(), cl, b) }, cl, false)
		s.complete(cl, true)
		s.fence(10, time.Minute)
		s.refresh(10)
		s.want(true, false)
	},
	"a run has it": func(s *story) {
		s.fence(10, 0)
		s.refresh(10)
		s.complete(s.claim(12), true)
		s.want(true, false)
	},
	"fenced after a run's snapshot: the run leaves it": func(s *story) {
		cl := s.claim(9)
		s.fence(10, 0)
		s.refresh(10)
		s.complete(cl, false)
		s.want(true, true)
	},
	"it goes, and comes again": func(s *story) {
		s.fence(10, 0)
		s.refresh(10)
		s.fence(11, 0)
		s.put(func(cl *Claim, b *store.Batch) (Outcome, error) { return s.c.Put(s.Context(), cl, b) },
			s.c.ClaimRefresh(s.armed(), storyJob, store.Stamp{Epoch: 1, Clock: 11}), true)
		s.want(false, false)
		s.refresh(12)
		s.want(true, true)
	},
	"a run that another has overtaken says that it has it": func(s *story) {
		slow := s.claim(9)
		s.complete(s.claim(10), false)
		s.fence(11, 0)
		s.refresh(11)
		s.complete(slow, true)
		s.want(true, true)
	},
	"it goes unseen and comes again, before a run removes it": func(s *story) {
		cl := s.claim(9)
		put := func(cl *Claim, b *store.Batch) (Outcome, error) { return s.c.Put(s.Context(), cl, b) }
		s.put(put, cl, false)
		s.complete(cl, true)
		cl = s.claim(11) // it does not see k
		s.fence(12, time.Minute)
		s.refresh(12)
		s.put(put, cl, true) // its last manifest had k
		s.want(true, true)
	},
	"fenced, and it has no row": func(s *story) {
		s.fence(10, 0)
		s.want(false, false)
	},
}

// violations returns what is wrong at the end of each story, in one string.
func violations(t *testing.T) string {
	t.Helper()
	o, err := redis.ParseURL(storetest.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(o)
	t.Cleanup(func() { r.Close() })
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(stories)) {
		if err := r.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		s := &story{T: t, c: New(r, time.Minute), redis: r}
		stories[name](s)
		if err := errors.Join(s.errs...); err != nil {
			wrong = append(wrong, name+": "+err.Error())
		}
	}
	return strings.Join(wrong, "\n")
}

func TestUntracked(t *testing.T) {
	if wrong := violations(t); wrong != "" {
		t.Error(wrong)
	}
}

// TestUntrackedVariants tells the stories with something left out of the scripts.
func TestUntrackedVariants(t *testing.T) {
	for _, v := range []struct {
		name     string
		s        *script
		old, new string
		breaks   string
	}{
		{"a refresh adds none", &putScript, "if redis.call('EXISTS', KEYS[i]) == 0 then",
			"if false then", "brought by a refresh, and its row goes unseen"},
		{"a refresh adds what is there, too", &putScript, "if redis.call('EXISTS', KEYS[i]) == 0 then", "if true then",
			"written by a run, and refreshed"},
		{"a run leaves what is newer, and forgets it", &putScript, "redis.call('SADD', untracked, KEYS[i]) end --",
			"local _ = 0 end --", "comes again"},
		{"a run removes what is newer", &putScript, "if fence and fence > newest then", "if false then",
			"the run leaves it"},
		{"who removes takes none off", &putScript, "if ttl == '0' then redis.call('SREM'",
			"if false then redis.call('SREM'", "brought by a refresh, and its row goes unseen"},
		{"any run may settle", &settleScript, "if writer and writer ~= ARGV[2] then return 0 end", "", "overtaken"},
	} {
		t.Run(v.name, func(t *testing.T) {
			whole := *v.s
			defer func() { *v.s = whole }()
			if strings.Count(whole.text, v.old) != 1 {
				t.Fatalf("%s.lua does not have %q once", whole.name, v.old)
			}
			*v.s = newScript(whole.name, strings.Replace(whole.text, v.old, v.new, 1))
			if wrong := violations(t); !strings.Contains(wrong, v.breaks) {
				t.Errorf("not noticed; it says: %s", wrong)
			}
		})
	}
}
