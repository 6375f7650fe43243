package reader

import (
	"container/list"
	"sync"
	"time"
)

// copies are the last answers, the newest up to a size, for while nobody can be asked.
type copies struct {
	bound time.Duration // how old one may be; 0: none is kept
	size  int

	mu    sync.Mutex
	used  int
	order list.List // of *kept, the newest in front
	byKey map[string]*list.Element
}

// kept is one copy.
type kept struct {
	key  string
	body []byte
	at   time.Time
}

func (c *copies) keep(key string, body []byte) {
	if c.bound <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byKey[key])
	if len(body) > c.size {
		return
	}
	if c.byKey == nil {
		c.byKey = make(map[string]*list.Element)
	}
	c.byKey[key] = c.order.PushFront(&kept{key, body, time.Now()})
	for c.used += len(body); c.used > c.size; {
		c.remove(c.order.Back())
	}
}

func (c *copies) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byKey[key])
}

// remove takes out a copy; nil: there is none.
func (c *copies) remove(e *list.Element) {
	if e == nil {
		return
	}
	k := c.order.Remove(e).(*kept)
	c.used -= len(k.body)
	delete(c.byKey, k.key)
}

// get returns a copy that is not too old, or nil.
func (c *copies) get(key string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		if k := e.Value.(*kept); time.Since(k.at) <= c.bound {
			return k.body
		}
	}
	return nil
}
