// Command stoker keeps a shared Redis warm with the results of hot Postgres
// queries. `stoker help` lists its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones of schedules, on machines without them
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	hangup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is, and to ask for it would undo that
		signal.Notify(hangup, syscall.SIGHUP)
	}
	os.Exit(execute(ctx, os.Args[1:], env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv,
		unhandle: stop, hangup: hangup}))
}
