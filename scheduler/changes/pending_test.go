package changes

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// model says what must hold of one key: every change of it is followed by a load that began
// after the change, and until then the change holds the position.
type model struct {
	changed map[string]uint64 // :: key -> round of the newest change
	shown   map[string]uint64 // :: key -> round of the newest change that a load has shown
}

// play changes, loads and fails at random, then lets every load succeed. It returns what was
// wrong; the variants below break pendingKeys in one place each.
func (m *model) play(seed uint64, v variant) string {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p := newPendingKeys(product)
	now := time.Unix(1_000_000, 0)
	type load struct {
		b     *batch
		shows map[string]uint64
	}
	var loads []load
	begin := func() {
		first, _ := p.first(now)
		if first == nil {
			return
		}
		b := p.take(first, now)
		l := load{b, make(map[string]uint64)}
		for _, k := range b.keys {
			l.shows[k.text] = m.changed[k.text]
		}
		loads = append(loads, l)
	}
	end := func(err error) {
		at := rnd.IntN(len(loads))
		l := loads[at]
		loads = append(loads[:at], loads[at+1:]...)
		if err != nil {
			v.failed(p, l.b, err, now)
			return
		}
		for text, round := range l.shows {
			m.shown[text] = max(m.shown[text], round)
		}
		p.succeeded(l.b, now)
	}
	for round := uint64(1); round < 300; round++ {
		now = now.Add(time.Duration(rnd.IntN(50)) * time.Millisecond)
		switch rnd.IntN(4) {
		case 0, 1:
			text := fmt.Sprint(rnd.IntN(8))
			m.changed[text] = round
			v.add(p, text, round, now)
		case 2:
			begin()
		case 3:
			if len(loads) > 0 {
				end([]error{nil, errors.New("down"), &net.OpError{Err: errors.New("down")}}[rnd.IntN(3)])
			}
		}
		if why := m.held(p); why != "" {
			return why
		}
	}
	for range 1000 {
		now = now.Add(retryLongest)
		begin()
		if len(loads) > 0 {
			end(nil)
		}
	}
	for text, round := range m.changed {
		if m.shown[text] < round {
			return fmt.Sprintf("key %s: the change of round %d was never loaded", text, round)
		}
	}
	if len(p.byText) > 0 || p.batches > 0 {
		return fmt.Sprintf("%d keys and %d batches are left", len(p.byText), p.batches)
	}
	return ""
}

// held checks that no change is acknowledged that is neither loaded nor kept for retry.
func (m *model) held(p *pendingKeys) string {
	oldest := p.oldest()
	for text, round := range m.changed {
		k := p.byText[text]
		if m.shown[text] >= round || k != nil && k.tries >= retriesHeld {
			continue
		}
		if round < oldest {
			return fmt.Sprintf("key %s: round %d may be acknowledged and is not loaded", text, round)
		}
	}
	return ""
}

// variant is a way to use pendingKeys, sound or broken.
type variant struct {
	add    func(p *pendingKeys, text string, round uint64, now time.Time)
	failed func(p *pendingKeys, b *batch, err error, now time.Time)
}

func soundAdd(p *pendingKeys, text string, round uint64, now time.Time) {
	p.add(text, jobs.Key{"id": text}, round, time.Time{}, now)
}

var sound = variant{add: soundAdd, failed: (*pendingKeys).failed}

func TestPendingKeysLoseNothing(t *testing.T) {
	for seed := range uint64(500) {
		m := &model{make(map[string]uint64), make(map[string]uint64)}
		if why := m.play(seed, sound); why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
	}
}

// The test above must be able to fail.
func TestBrokenPendingKeysAreCaught(t *testing.T) {
	for name, v := range map[string]variant{
		"a change is folded into a load under way": {failed: sound.failed,
			add: func(p *pendingKeys, text string, round uint64, now time.Time) {
				if k := p.byText[text]; k != nil && k.inHand {
					return
				}
				soundAdd(p, text, round, now)
			}},
		"a failed load is forgotten": {add: soundAdd, failed: func(p *pendingKeys, b *batch, _ error, now time.Time) {
			p.succeeded(b, now)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(500) {
				m := &model{make(map[string]uint64), make(map[string]uint64)}
				if m.play(seed, v) != "" {
					return
				}
			}
			t.Error("no seed has found it")
		})
	}
}
