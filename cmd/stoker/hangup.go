package main

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// errHangup ends a command whose terminal was closed.
var errHangup = errors.New("the terminal was closed")

// heedHangup ends a command in order when its terminal is closed. The daemon outlives its
// terminal: to it, SIGHUP says that its spec may have changed.
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
