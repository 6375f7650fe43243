package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// Sizes at scale 1 of what is measured of each build beside the lags.
const (
	idleFor       = 10 * time.Second
	invalidations = 200 // with ?wait=1, one at a time
)

// compareBuilds measures the change feed of the build before and of the one at hand, in turn, so that what
// disturbs the machine disturbs both.
func (f *feed) compareBuilds(ctx context.Context) error {
	builds := []struct{ name, binary string }{{report.BuildBefore, f.before}, {report.BuildAfter, f.stoker}}
	for round := range f.rounds {
		for _, build := range builds {
			own := *f.bench
			own.stoker = build.binary
			g := &feed{bench: &own, data: f.data, server: f.server}
			m := report.Build{Name: build.name, Round: round + 1}
			err := g.beside(ctx, report.BesideWAL, func(d *daemon) error { return g.measureBuild(ctx, d, &m) })
			if err != nil {
				return fmt.Errorf("the build %s: %w", build.name, err)
			}
			f.report.Builds = append(f.report.Builds, m)
			f.say("changes, round %d of %d, the build %s: %s", round+1, f.rounds, build.name, m)
		}
	}
	return nil
}

// measureBuild fills m. What needs an idle daemon comes first.
func (f *feed) measureBuild(ctx context.Context, d *daemon, m *report.Build) (err error) {
	if m.Idle, err = f.idleCommands(ctx); err != nil {
		return err
	}
	if m.Alone, err = f.lag(ctx, f.commits(aloneCommits), 0); err != nil {
		return err
	}
	if m.Wait, err = f.waits(ctx, d); err != nil {
		return err
	}
	if m.Paced, err = f.lag(ctx, f.commits(pacedCommits), pacedRate); err != nil {
		return err
	}
	m.Loaded, err = f.lagBesideWriter(ctx)
	return err
}

// lag measures commits at a rate, or with 0 one at a time.
func (f *feed) lag(ctx context.Context, commits int, rate float64) (report.Lag, error) {
	s, err := f.startBaseline(f.probe(commits, rate))
	if err != nil {
		return report.Lag{}, err
	}
	defer s.kill()
	result, err := s.result(ctx)
	return lagOf("", "", result.Probes), errors.Join(err, s.closeIn())
}

// lagBesideWriter measures commits while a writer changes loadRows a second.
func (f *feed) lagBesideWriter(ctx context.Context) (report.Lag, error) {
	s, err := f.startBaseline(f.probe(0, probeRate))
	if err != nil {
		return report.Lag{}, err
	}
	defer s.kill()
	if _, err := f.write(ctx, f.lasts, loadRows); err != nil {
		return report.Lag{}, err
	}
	if err := s.closeIn(); err != nil {
		return report.Lag{}, err
	}
	result, err := s.result(ctx)
	return lagOf("", "", result.Probes), err
}

// idleCommands returns how many commands a second the daemon sends to Redis while nothing happens. It reads
// them from MONITOR, which also shows what scripts call: that is not sent, and not counted.
func (f *feed) idleCommands(ctx context.Context) (float64, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.server.Addr())
	if err != nil {
		return 0, fmt.Errorf("count commands: %w", err)
	}
	defer conn.Close()
	lasts := time.Duration(float64(idleFor) * min(1, max(f.scale, 0.1)))
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return 0, fmt.Errorf("count commands: %w", err)
	}
	begun := time.Now()
	if err := conn.SetReadDeadline(begun.Add(lasts)); err != nil {
		return 0, fmt.Errorf("count commands: %w", err)
	}
	sent := 0
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if sentByClient(lines.Text()) {
			sent++
		}
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if time.Since(begun) < lasts {
		return 0, errors.New("count commands: Redis closed the connection")
	}
	return float64(sent) / lasts.Seconds(), nil
}

// sentByClient reports whether a line of MONITOR is a command that came over a connection:
// +1700000000.123456 [0 127.0.0.1:41234] "PING".
func sentByClient(line string) bool {
	_, source, ok := strings.Cut(line, " [")
	return ok && !strings.Contains(source[:strings.IndexByte(source+"]", ']')], "lua")
}

// waits measures invalidations of one key that wait until it is fresh.
func (f *feed) waits(ctx context.Context, d *daemon) (report.Lag, error) {
	var took []time.Duration
	for i := range f.commits(invalidations) {
		body := fmt.Sprintf(`{"keys": [{"id": %d}]}`, int64(i)%f.data.rows+1)
		begun := time.Now()
		if err := f.waitFresh(ctx, d, body); err != nil {
			return report.Lag{}, err
		}
		took = append(took, time.Since(begun))
	}
	return report.NewLag("", "", 0, took), nil
}

func (f *feed) waitFresh(ctx context.Context, d *daemon, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+"/api/v1/jobs/"+d.job+"/invalidate?wait=1",
		strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("invalidate a key: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return fmt.Errorf("invalidate a key: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("invalidate a key: %s, want 200", resp.Status)
	}
	return nil
}
