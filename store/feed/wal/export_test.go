package wal

import (
	"time"
)

// Hold changes how old a fence is when Postgres is told.
func (w *Feed) Hold(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ackDelay = d
}

// AckEvery changes how often Postgres is sent the position.
func (w *Feed) AckEvery(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ackEvery = d
}
