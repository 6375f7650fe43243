// Package guess answers for the guessing of tokens.
package guess

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Result is what became of a guess.
type Result int

// The results of a guess.
const (
	Right   Result = iota
	Wrong          // it is not the token
	TooMany        // the budget is spent; it was not looked at
)

// How many wrong guesses an address has, and who shares them.
const (
	Burst          = 10              // wrong tokens an address has at once
	Every          = 5 * time.Second // and one more each
	maxGuessers    = 4096            // addresses remembered; the rest share one budget
	sharedGuesser  = ""
	ipv6GuesserLen = 64 // one customer has a whole /64 to guess from
)

// Throttle answers for the guessing of tokens. Only wrong guesses cost, and who
// has spent a budget of them gets 429. The right token always passes:
// behind a proxy all clients share one address, and none may lock out the others.
// So it is the token's length that keeps it from being guessed; the throttle
// makes guessing seen.
type Throttle struct {
	mu       sync.Mutex
	guessers map[string]*budget // by address
	swept    time.Time          // when forget last ran
}

// budget is the wrong guesses left at a moment; it grows back with time.
type budget struct {
	left float64
	at   time.Time
}

// New returns a throttle in which nobody has guessed yet.
func New() *Throttle { return &Throttle{guessers: map[string]*budget{}} }

// Try compares a guess of remote. The lock spans the comparison, so that many
// guesses at once cannot spend the same budget.
func (t *Throttle) Try(remote string, right func() bool) Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	who := t.accountOf(guesser(remote), now)
	b := t.guessers[who]
	if right() {
		return Right
	}
	if b != nil && b.refill(now) < 1 {
		return TooMany
	}
	if b == nil {
		b = &budget{left: Burst, at: now}
		t.guessers[who] = b
	}
	b.left--
	return Wrong
}

// accountOf is who pays for a guess of address: itself, or everyone together
// once more addresses guess than are remembered.
func (t *Throttle) accountOf(address string, now time.Time) string {
	if t.guessers[address] != nil || len(t.guessers) < maxGuessers {
		return address
	}
	if now.Sub(t.swept) >= Every {
		t.swept = now
		t.forget(now)
	}
	if len(t.guessers) < maxGuessers {
		return address
	}
	return sharedGuesser
}

// forget drops who has a full budget again.
func (t *Throttle) forget(now time.Time) {
	for who, b := range t.guessers {
		if b.refill(now) >= Burst {
			delete(t.guessers, who)
		}
	}
}

func (b *budget) refill(now time.Time) float64 {
	b.left = min(Burst, b.left+now.Sub(b.at).Seconds()/Every.Seconds())
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
