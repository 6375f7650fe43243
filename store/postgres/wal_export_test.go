package postgres

import "time"

// Hold changes how old a fence is when Postgres is told.
func (w *WAL) Hold(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ackDelay = d
}

// Telling changes how often Postgres is told how far we are.
func (w *WAL) Telling(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ackEvery = d
}
