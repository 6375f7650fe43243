package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

const (
	defaultAckEvery = time.Second      // how often Postgres is told how far we are
	guardEvery      = 10 * time.Second // how often the watched tables are looked at
	closeLimit      = 2 * time.Second
)

// silence is how long Postgres may say nothing, not even answer, before the
// connection is taken for dead: it answers when we send our position.
// One that decodes a large transaction answers after half of wal_sender_timeout only,
// which is a minute unless it was changed.
const silence = 3 * time.Minute

// read receives until ctx ends or the connection fails.
func (w *Feed) read(ctx context.Context) {
	heard := time.Now()
	for ctx.Err() == nil {
		w.deliverIdle()
		if err := w.sendStatus(); err != nil {
			w.queue.End(fmt.Errorf("tell postgres how far its changes are read: %w", err))
			return
		}
		got, err := w.receive(ctx)
		if got {
			heard = time.Now()
		}
		if err == nil && time.Since(heard) > silence {
			err = fmt.Errorf("nothing was heard for %s", silence)
		}
		if err != nil && ctx.Err() == nil {
			w.queue.End(fmt.Errorf("read changes from slot %s: %w", w.slot, err))
			return
		}
	}
}

// receive handles what comes until Postgres is to be told again, or asks.
func (w *Feed) receive(ctx context.Context) (got bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.ackInterval())
	defer cancel()
	for {
		msg, err := w.conn.ReceiveMessage(ctx)
		if err != nil && (pgconn.Timeout(err) || ctx.Err() != nil) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		// A message counts even if the time is over by now: it is not sent again.
		got = true
		asked, err := w.handle(msg)
		if err != nil || asked {
			return got, err
		}
	}
}

func (w *Feed) ackInterval() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ackEvery
}

// handle handles one message. It reports whether Postgres asks for an answer.
func (w *Feed) handle(msg pgproto3.BackendMessage) (asked bool, err error) {
	data, ok := msg.(*pgproto3.CopyData)
	if !ok {
		if e, is := msg.(*pgproto3.ErrorResponse); is {
			return false, pgconn.ErrorResponseToPgError(e)
		}
		if _, is := msg.(*pgproto3.CopyDone); is {
			return false, errors.New("postgres ended the stream")
		}
		return false, nil // notices, parameters
	}
	switch data.Data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		alive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
		if err != nil {
			return false, err
		}
		w.noteReceived(alive.ServerWALEnd)
		return alive.ReplyRequested, nil
	case pglogrepl.XLogDataByteID:
		log, err := pglogrepl.ParseXLogData(data.Data[1:])
		if err != nil {
			return false, err
		}
		return false, w.decode(log)
	}
	return false, nil
}

func (w *Feed) decode(log pglogrepl.XLogData) error {
	msg, err := pglogrepl.Parse(log.WALData)
	if err != nil {
		return err
	}
	commits, end, err := w.decoder.add(msg)
	if err != nil || end == 0 {
		return err
	}
	if commits != nil {
		w.push(commits)
	}
	w.noteReceived(end)
	return nil
}

// noteReceived notes how far Postgres has sent. What it sends later was committed later.
func (w *Feed) noteReceived(end pglogrepl.LSN) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received = max(w.received, end)
	w.checkAim()
}

func (w *Feed) sendStatus() error {
	at := w.acknowledged()
	return pglogrepl.SendStandbyStatusUpdate(context.Background(), w.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at, ReplyRequested: true})
}

// guard ends the feed when what is published is not what the spec watches any
// more: a table was dropped and made anew, or somebody changed the publication.
// The log says nothing of either.
func (w *Feed) guard(ctx context.Context, s *postgres.Source, spec *jobs.Spec, opened publication) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// An error is that the database is away: who reads and writes says so.
		if changed, err := w.changed(ctx, s, spec, opened); err == nil && changed != nil {
			w.queue.End(changed)
			return
		}
	}
}

// changed is why the log does not tell any more what the feed was opened for; nil if
// it does.
func (w *Feed) changed(ctx context.Context, s *postgres.Source, spec *jobs.Spec, opened publication) (changed,
	err error) {
	name := spec.Changes.Name
	tables, err := feed.Tables(ctx, s, spec.Watched())
	if err != nil {
		return nil, err
	}
	state, err := publicationState(ctx, s, name, tables)
	if err != nil {
		return nil, err
	}
	published, err := describe(ctx, s, name)
	if err != nil {
		return nil, err
	}
	now, err := s.Now(ctx)
	switch {
	case errors.Is(err, postgres.ErrStandby) || err == nil && !store.SameHistory(now.Origin, w.origin):
		return errors.New("postgres.url leads to another history than the change feed (a failover, a restart, or " +
			"another server)"), nil
	case err != nil:
		return nil, err
	case !slices.EqualFunc(opened.tables, tables, func(a, b feed.Table) bool {
		return a.OID == b.OID &&
			slices.EqualFunc(a.Parts, b.Parts, samePart)
	}):
		return errors.New("a watched table is gone or was made anew, or its partitions or its replica identity " +
			"have changed"), nil
	case !published.covers(tables):
		return fmt.Errorf("publication %s does not have every watched table any more", name), nil
	case state != opened.state:
		return fmt.Errorf("publication %s was altered: it may have kept changes back", name), nil
	}
	return nil, nil
}

func samePart(a, b feed.Relation) bool { return a.OID == b.OID && slices.Equal(a.Identity, b.Identity) }
