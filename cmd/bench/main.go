// Command bench measures Stoker against other ways to fill a cache, on private
// servers and data of its own, and says which of its goals are reached. `make
// bench` builds and runs it; `bench -h` lists its flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
)

// asBaseline is the first argument of the processes that this program starts from
// itself.
const asBaseline = "as-baseline"

func main() {
	if len(os.Args) > 1 && os.Args[1] == asBaseline {
		os.Exit(baselineMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the stopping
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// baselineMain is this program as one of the contenders, or as the reader.
func baselineMain(args []string) int {
	if err := baseline.Main(args, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exitOK
}

// Exit statuses. Goals that are not reached are no failure.
const (
	exitOK     = 0
	exitFailed = 1
	exitWrong  = 2 // the command line is wrong
)

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitWrong
	}
	if err := run(ctx, o, stdout, stderr); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(errors.New("stopped before it was done"), leftover(err))
		}
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return exitOK
}
