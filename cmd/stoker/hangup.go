package main

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// errHangup ends a command whose terminal was closed.
var errHangup = errors.New("the terminal was closed")

// heedHangup ends a command in order when its terminal is closed. The daemon outlives its terminal.
func (a *app) heedHangup(cmd *cobra.Command) {
	if a.hangup == nil || cmd.Name() == runName {
		return
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	cmd.SetContext(ctx)
	go func() {
		<-a.hangup
		signal.Reset(syscall.SIGHUP) // a second one ends the process at once
		cancel(errHangup)
	}()
}

// logHangups is what the daemon does at SIGHUP, until ctx ends: other daemons read their files again then, and
// whoever sends it should know that this one does not.
func (a *app) logHangups(ctx context.Context, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.hangup: // nil in a test: never
			log.Warn("SIGHUP: the daemon goes on and has not read the spec again; start it again to apply changes")
		}
	}
}
