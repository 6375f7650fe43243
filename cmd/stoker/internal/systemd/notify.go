// Package systemd reports the state of the daemon to systemd, which started it with Type=notify. Where systemd did
// not, nothing is sent. The protocol is that of sd_notify(3).
package systemd

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/stokerhq/stoker/jobs"
)

// Notifier sends the states of one process.
type Notifier struct {
	// Log gets a warning when systemd cannot be reached: it would then end the process as one that hangs.
	Log *slog.Logger
}

// Ready reports that the daemon does its work; `systemctl start` returns.
func (n Notifier) Ready(status string) { n.send(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// Status is the line that `systemctl status` shows.
func (n Notifier) Status(status string) { n.send("STATUS=" + status) }

// Stopping reports that the daemon stops in order.
func (n Notifier) Stopping() {
	n.send(daemon.SdNotifyStopping + "\nSTATUS=stopping: tasks in hand go back to the queue")
}

// Reloading reports that the daemon reads its spec again; Ready ends it. systemd wants the time of the
// monotonic clock with it, in microseconds, to tell this reload from an earlier one.
func (n Notifier) Reloading() {
	n.send(daemon.SdNotifyReloading + "\nMONOTONIC_USEC=" + strconv.FormatInt(monotonicMicros(), 10))
}

// Watchdog reports until ctx ends that the process is alive, twice as often as WatchdogSec asks for. It does not
// while alive returns an error: then systemd ends the process and starts it anew.
func (n Notifier) Watchdog(ctx context.Context, alive func(context.Context) error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.Log.Warn("the watchdog of systemd cannot be served; see WATCHDOG_USEC", jobs.LogErr, err)
	}
	if err != nil || limit <= 0 {
		return
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for {
		n.keepAlive(ctx, limit/4, alive)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n Notifier) keepAlive(ctx context.Context, limit time.Duration, alive func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := alive(ctx); err != nil {
		n.Log.Warn("the process does not answer itself: the watchdog of systemd gets no sign", jobs.LogErr, err)
		return
	}
	n.send(daemon.SdNotifyWatchdog)
}

func (n Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.Log.Warn("systemd could not be notified; does the sandbox allow AF_UNIX?", jobs.LogErr, err)
	}
}
