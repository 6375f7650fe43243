package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// right compares all values with Postgres, again and again until none is wrong,
// or for as long as a commit is waited for. Nothing is written meanwhile.
func (f *feed) right(ctx context.Context, l *report.Load, since time.Time) error {
	lines, err := f.sql.Exec("SELECT id, stock FROM product")
	if err != nil {
		return fmt.Errorf("read what the values should be: %w", err)
	}
	l.Keys = int64(len(lines))
	for {
		if lines, err = f.wrong(ctx, lines); err != nil {
			return err
		}
		l.Right, l.Wrong = report.In(time.Since(since)), int64(len(lines))
		if l.Wrong == 0 || time.Since(since) > baseline.ProbeLimit {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
}

// atOnce is how many values are read in one go.
const atOnce = 1000

// wrong picks, of "id|stock" lines, those that Redis does not show. A key that is
// not there is wrong too.
func (f *feed) wrong(ctx context.Context, lines []string) (wrong []string, err error) {
	for len(lines) > 0 {
		some := lines[:min(atOnce, len(lines))]
		lines = lines[len(some):]
		keys := make([]string, len(some))
		for i, line := range some {
			id, _, _ := strings.Cut(line, "|")
			keys[i] = f.data.job.Prefix + id
		}
		values, err := f.server.client.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("read values back: %w", err)
		}
		for i, line := range some {
			if !shows(values[i], line) {
				wrong = append(wrong, line)
			}
		}
	}
	return wrong, nil
}

// shows reports whether a value is what an "id|stock" line says.
func shows(value any, line string) bool {
	text, there := value.(string)
	if !there {
		return false
	}
	version, err := baseline.Version(text)
	_, want, _ := strings.Cut(line, "|")
	return err == nil && strconv.FormatInt(version, 10) == want
}
