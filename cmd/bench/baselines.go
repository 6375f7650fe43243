package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// outcome is what one way to bring rows into Redis took.
type outcome struct {
	begin, end time.Time
	keys       int64
	backend    report.Seconds
	client     report.Seconds
}

func (o outcome) wall() report.Seconds { return report.In(o.end.Sub(o.begin)) }

// started is this program at work as a baseline.
type started struct {
	*process
	in        io.Closer // its end asks the baseline to end
	out, said bytes.Buffer
}

func (b *bench) startBaseline(t baseline.Task) (*started, error) {
	args, err := baseline.Args(t)
	if err != nil {
		return nil, err
	}
	s := &started{}
	cmd := exec.Command(b.self, append([]string{asBaseline}, args...)...)
	cmd.Stdout, cmd.Stderr = &s.out, &s.said
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a baseline: %w", err)
	}
	s.process, err = launch(cmd)
	return s, err
}

// result waits for what the baseline has to say.
func (s *started) result(ctx context.Context) (r baseline.Result, err error) {
	if err := s.wait(ctx); err != nil {
		return r, failure("a baseline", err, s.said.String())
	}
	if err := json.Unmarshal(s.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("read the result of a baseline: %w", err)
	}
	return r, nil
}

// baseline does one task in a process of its own, from its start to its end.
func (b *bench) baseline(ctx context.Context, t baseline.Task) (outcome, error) {
	s, err := b.startBaseline(t)
	if err != nil {
		return outcome{}, err
	}
	r, err := s.result(ctx)
	return outcome{begin: r.Begin, end: r.End, keys: r.Keys, backend: report.In(r.Backend), client: s.process.cpu()},
		errors.Join(err, s.closeIn())
}

// closeIn gives back the pipe, which Wait may have closed already.
func (s *started) closeIn() error {
	if err := s.in.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("let go of a baseline: %w", err)
	}
	return nil
}
