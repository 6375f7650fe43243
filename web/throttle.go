package web

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	guessBurst     = 10              // wrong tokens an address has at once
	guessEvery     = 5 * time.Second // and one more each
	maxGuessers    = 4096            // addresses remembered; the rest share one budget
	sharedGuesser  = ""
	ipv6GuesserLen = 64 // one customer has a whole /64 to guess from
)

// throttle answers for the guessing of tokens. Only wrong guesses cost, and who
// has spent a budget of them gets 429. The right token always passes:
// behind a proxy all clients share one address, and none may lock out the others.
// So it is the token's length that keeps it from being guessed; the throttle
// makes guessing seen.
type throttle struct {
	mu       sync.Mutex
	guessers map[string]*budget // by address
	swept    time.Time          // when forget last ran
}

// budget is the wrong guesses left at a moment; it grows back with time.
type budget struct {
	left float64
	at   time.Time
}

func newThrottle() *throttle { return &throttle{guessers: map[string]*budget{}} }

// try compares a guess of remote. The lock spans the comparison, so that many
// guesses at once cannot spend the same budget.
func (t *throttle) try(remote string, right func() bool) authResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	who := t.accountOf(guesser(remote), now)
	b := t.guessers[who]
	if right() {
		return allowed
	}
	if b != nil && b.refill(now) < 1 {
		return tooMany
	}
	if b == nil {
		b = &budget{left: guessBurst, at: now}
		t.guessers[who] = b
	}
	b.left--
	return wrong
}

// accountOf is who pays for a guess of address: itself, or everyone together
// once more addresses guess than are remembered.
func (t *throttle) accountOf(address string, now time.Time) string {
	if t.guessers[address] != nil || len(t.guessers) < maxGuessers {
		return address
	}
	if now.Sub(t.swept) >= guessEvery {
		t.swept = now
		t.forget(now)
	}
	if len(t.guessers) < maxGuessers {
		return address
	}
	return sharedGuesser
}

// forget drops who has a full budget again.
func (t *throttle) forget(now time.Time) {
	for who, b := range t.guessers {
		if b.refill(now) >= guessBurst {
			delete(t.guessers, who)
		}
	}
}

func (b *budget) refill(now time.Time) float64 {
	b.left = min(guessBurst, b.left+now.Sub(b.at).Seconds()/guessEvery.Seconds())
	b.at = now
	return b.left
}

// guesser is the address that a budget belongs to.
func guesser(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	prefix, err := ip.WithZone("").Prefix(ipv6GuesserLen)
	if err != nil {
		return host
	}
	return prefix.String()
}
