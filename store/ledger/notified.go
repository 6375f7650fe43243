package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// notified names a hash: incident -> when it was notified.
func (l *Ledger) notified() string { return l.namespace.Key("notified") }

// Notified returns the incidents that were marked and not forgotten.
func (l *Ledger) Notified(ctx context.Context) ([]string, error) {
	list, err := l.c.HKeys(ctx, l.notified()).Result()
	if err != nil {
		return nil, fmt.Errorf("read what was notified: %w", err)
	}
	return list, nil
}

// MarkNotified marks an incident, and reports whether it was not marked before.
func (l *Ledger) MarkNotified(ctx context.Context, incident string) (bool, error) {
	first, err := l.c.HSetNX(ctx, l.notified(), incident, strconv.FormatInt(time.Now().Unix(), 10)).Result()
	if err != nil {
		return false, fmt.Errorf("mark %s as notified: %w", incident, err)
	}
	return first, nil
}

// ForgetNotified takes the mark off an incident that is over.
func (l *Ledger) ForgetNotified(ctx context.Context, incident string) error {
	if err := l.c.HDel(ctx, l.notified(), incident).Err(); err != nil {
		return fmt.Errorf("forget that %s was notified: %w", incident, err)
	}
	return nil
}
