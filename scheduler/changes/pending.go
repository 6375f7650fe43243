package changes

import (
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// pendingKeys are the keys of one job that are fenced and not yet loaded. It is not safe for
// concurrent use: the refresher locks.
//
// A key is in one of three places: in queue if it was never tried, in delayed if it may not be
// loaded before a time (it failed, or it changed while it was being loaded), or in the hand of
// a batch. Both lists are in the order of the keys' changes.
type pendingKeys struct {
	job     *jobs.Job
	byText  map[string]*pendingKey
	queue   []*pendingKey
	delayed []*pendingKey

	batches   int       // in hand
	failures  int       // to reach a server, one after the other
	notBefore time.Time // no batch before this time, because of failures
	lastErr   error     // of the last batch that failed
}

// pendingKey is one key that waits or is being loaded.
type pendingKey struct {
	text      string
	key       jobs.Key
	round     uint64    // of its oldest change that no load has shown
	since     time.Time // when that was fenced
	committed time.Time // when it was committed, by Postgres' clock; zero if unknown
	change    tracing.Link
	tries     int       // that failed
	notBefore time.Time // it may not be loaded earlier
	most      int       // keys in a batch with it
	inHand    bool
	again     *pendingKey // it changed while in hand: its next turn
}

// batch is the keys of one refresh.
type batch struct {
	of    *pendingKeys
	keys  []*pendingKey
	begun time.Time
}

const (
	retryFirst   = 100 * time.Millisecond
	retryLongest = 30 * time.Second
	refusedPause = 2 * time.Second // a look whether Redis takes writes again costs next to nothing

	// retriesHeld is how often a key may fail before it no longer keeps the feed from being
	// acknowledged: some 10 seconds.
	retriesHeld = 8
)

func newPendingKeys(job *jobs.Job) *pendingKeys {
	return &pendingKeys{job: job, byText: make(map[string]*pendingKey)}
}

// add adds a fenced key. One that waits already will show this change too when it is loaded;
// one that is being loaded may not, and is loaded once more afterwards.
// It returns what waits now because of this change; nil if a change of before covers it.
func (p *pendingKeys) add(text string, key jobs.Key, round uint64, committed, now time.Time) *pendingKey {
	k := &pendingKey{text: text, key: key, round: round, since: now, committed: committed, most: jobs.MaxKeys}
	switch known := p.byText[text]; {
	case known == nil:
		p.byText[text] = k
		p.queue = append(p.queue, k)
	case known.inHand && known.again == nil:
		known.again = k
	default:
		if known.again != nil {
			known = known.again
		}
		known.committed = older(known.committed, committed) // it may have waited longer to be shown
		return nil
	}
	return k
}

// first is the oldest key that may be loaded now. It returns nil and how long until one may if there
// is none; 0: until a key is added.
func (p *pendingKeys) first(now time.Time) (first *pendingKey, wait time.Duration) {
	if left := p.notBefore.Sub(now); left > 0 && p.waiting() > 0 {
		return nil, left
	}
	for _, k := range p.delayed {
		left := k.notBefore.Sub(now)
		if left <= 0 {
			first = k
			break
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	if len(p.queue) > 0 && (first == nil || p.queue[0].since.Before(first.since)) {
		first = p.queue[0]
	}
	return first, wait
}

// take takes a batch: first, and others that may be loaded now and go with it. Keys that may have made
// a load fail go apart from those that did not.
func (p *pendingKeys) take(first *pendingKey, now time.Time) *batch {
	suspect := first.most < jobs.MaxKeys
	b := &batch{of: p, begun: now}
	most := jobs.MaxKeys
	take := func(k *pendingKey) bool {
		if len(b.keys) >= min(most, k.most) || (k.most < jobs.MaxKeys) != suspect || k.notBefore.After(now) {
			return false
		}
		most = min(most, k.most)
		k.inHand = true
		b.keys = append(b.keys, k)
		return true
	}
	p.delayed = slices.DeleteFunc(p.delayed, take)
	n := 0
	for n < len(p.queue) && take(p.queue[n]) {
		n++
	}
	p.queue = p.queue[n:]
	p.batches++
	return b
}

// succeeded ends a batch whose keys were loaded. A key that has changed meanwhile waits for as
// long as the load took: one that always changes keeps half a connection busy at most.
func (p *pendingKeys) succeeded(b *batch, now time.Time) {
	p.batches--
	p.failures, p.notBefore = 0, time.Time{}
	for _, k := range b.keys {
		delete(p.byText, k.text)
		if k.again != nil {
			k.again.notBefore = now.Add(now.Sub(b.begun))
			p.byText[k.text] = k.again
			p.delay(k.again)
		}
	}
	if !p.failing() {
		p.lastErr = nil
	}
}

// failed ends a batch that failed: its keys are tried again. Where a server cannot be reached, or
// Redis refuses writes, the whole job waits. Any other error may come from a single row: then the keys go in batches
// of half the size, until the bad one is alone.
func (p *pendingKeys) failed(b *batch, err error, now time.Time) {
	p.batches--
	p.lastErr = err
	_, unreachable := errors.AsType[net.Error](err)
	_, refused := store.RefusalIn(err)
	switch {
	case refused:
		p.notBefore = now.Add(refusedPause/2 + rand.N(refusedPause))
	case unreachable:
		p.failures++
		p.notBefore = now.Add(backoff(p.failures))
	}
	for _, k := range b.keys {
		k.handBack()  // the next load shows every change up to now
		if !refused { // until Redis takes writes again, the feed stays unacknowledged
			k.tries++
		}
		if !unreachable && !refused {
			k.notBefore = now.Add(backoff(k.tries))
			k.most = max(1, len(b.keys)/2)
		}
		p.delay(k)
	}
}

// interrupted ends a batch whose load was broken off by the end of the process.
func (p *pendingKeys) interrupted(b *batch) {
	p.batches--
	for _, k := range b.keys {
		k.handBack()
		p.delay(k)
	}
}

// handBack makes a key that was not loaded wait for all of its changes.
func (k *pendingKey) handBack() {
	if k.again != nil {
		k.committed = older(k.committed, k.again.committed)
	}
	k.inHand, k.again = false, nil
}

// changes are the spans of the changes that a batch is for.
func (b *batch) changes() (list []tracing.Link) {
	for _, k := range b.keys {
		if !k.change.IsZero() && !slices.Contains(list, k.change) && len(list) < tracing.MostLinks {
			list = append(list, k.change)
		}
	}
	return list
}

// committed is when the oldest change of a batch was committed; zero if that is not known of any.
func (b *batch) committed() (oldest time.Time) {
	for _, k := range b.keys {
		if oldest.IsZero() || !k.committed.IsZero() && k.committed.Before(oldest) {
			oldest = k.committed
		}
	}
	return oldest
}

// backoff is a random time around retryFirst, doubled with each failure.
func backoff(failures int) time.Duration {
	d := min(retryFirst<<min(failures-1, 16), retryLongest)
	return d/2 + rand.N(d/2)
}

// delay puts a key among the delayed, by its age.
func (p *pendingKeys) delay(k *pendingKey) {
	at, _ := slices.BinarySearchFunc(p.delayed, k, func(a, b *pendingKey) int { return a.since.Compare(b.since) })
	p.delayed = slices.Insert(p.delayed, at, k)
}

// drop gives up the keys that wait, because they have become too many to keep. It returns the
// round of their oldest change: the run that is made instead shows it.
func (p *pendingKeys) drop() (round uint64) {
	round = noRound
	for text, k := range p.byText {
		if k.again != nil {
			round, k.again = min(round, k.again.round), nil
		}
		if !k.inHand {
			round = min(round, k.round)
			delete(p.byText, text)
		}
	}
	p.queue, p.delayed = nil, nil
	return round
}

// waiting is how many keys are not in hand.
func (p *pendingKeys) waiting() int { return len(p.queue) + len(p.delayed) }

// oldest is the round of the oldest change that still keeps the feed from being acknowledged.
func (p *pendingKeys) oldest() uint64 {
	oldest := uint64(noRound)
	for _, k := range p.byText {
		if k.tries < retriesHeld {
			oldest = min(oldest, k.round)
		}
		if k.again != nil {
			oldest = min(oldest, k.again.round)
		}
	}
	return oldest
}

// committed is when the oldest change was committed that no load has shown; zero if that is not known of all.
func (p *pendingKeys) committed() (oldest time.Time, waits bool) {
	for _, k := range p.byText {
		oldest, waits = oldestOf(oldest, waits, k.committed)
		if k.again != nil {
			oldest = older(oldest, k.again.committed)
		}
	}
	return oldest, waits
}

// since is when the oldest change was fenced that no load has shown; zero if there is none.
func (p *pendingKeys) since() (oldest time.Time) {
	for _, k := range p.byText {
		if oldest.IsZero() || k.since.Before(oldest) {
			oldest = k.since
		}
	}
	return oldest
}

// failing reports whether a key has failed and is not loaded since.
func (p *pendingKeys) failing() bool {
	for _, k := range p.delayed {
		if k.tries > 0 {
			return true
		}
	}
	return false
}
