package wal

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/postgres"
)

// A feed from which nothing comes is idle, or is held up: by a walsender that decodes a large transaction, or does not
// run, or by the network. The server tells the two apart: where its log ended a moment ago is a place that the feed has
// come to, or has not. It is asked where a job has an objective, by one short statement each time.

// aimEvery is how often the server is asked where its log ends.
const aimEvery = 500 * time.Millisecond

// commitLag is how long before its record is in the log a transaction may take the time of its COMMIT.
const commitLag = 100 * time.Millisecond

// aim is where the log ended at some time, by Postgres' clock. The time is read first.
type aim struct {
	at  time.Time
	end pglogrepl.LSN
}

// aimSQL counts microseconds, because how a time is printed is the session's to set.
const aimSQL = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_current_wal_insert_lsn()::text`

// completeBefore is feed.Start's Through.
func (w *Feed) completeBefore() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.through
}

// measure asks where the log ends until ctx ends. An end that was not come to yet is waited for: the one after it would
// be no sooner.
func (w *Feed) measure(ctx context.Context, s *postgres.Source) {
	tick := time.NewTicker(aimEvery)
	defer tick.Stop()
	for {
		if w.wantsAim() {
			// An error is that the database is away: nothing is known then, and who reads and writes says so.
			if a, err := readAim(ctx, s); err == nil {
				w.take(a)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Feed) wantsAim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.aim.end == 0
}

func (w *Feed) take(a aim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aim = a
	w.checkAim()
}

// checkAim looks whether the feed has come to the end that is waited for. The caller holds the lock.
func (w *Feed) checkAim() {
	if w.aim.end != 0 && w.received >= w.aim.end {
		w.through, w.aim = w.aim.at.Add(-commitLag), aim{}
	}
}

func readAim(ctx context.Context, s *postgres.Source) (a aim, err error) {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	var micros int64
	var end string
	err = s.Do(ctx, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, aimSQL, pgx.QueryExecModeExec).Scan(&micros, &end)
	})
	if err != nil {
		return a, fmt.Errorf("read where the log ends: %w", err)
	}
	lsn, err := pglogrepl.ParseLSN(end)
	return aim{at: time.UnixMicro(micros), end: withoutHeader(lsn)}, err
}

// The insert position after a record that fills a page is behind the header of the next page, while a reader stands at
// the end of the record until there is another one.
const (
	walPage     = 8192
	shortHeader = 24 // of a page
	longHeader  = 40 // of the first page of a segment
)

func withoutHeader(lsn pglogrepl.LSN) pglogrepl.LSN {
	switch into := lsn % walPage; into {
	case shortHeader, longHeader:
		return lsn - into
	}
	return lsn
}
