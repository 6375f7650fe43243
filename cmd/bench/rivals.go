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

	"github.com/stokerhq/stoker/cmd/internal/report"
	"github.com/stokerhq/stoker/cmd/internal/rival"
)

// outcome is what one way to bring rows into Redis took.
type outcome struct {
	begin, end time.Time
	keys       int64
	backend    report.Seconds
	client     report.Seconds
}

func (o outcome) wall() report.Seconds { return report.In(o.end.Sub(o.begin)) }

// started is this program at work as a rival.
type started struct {
	*process
	in        io.Closer // its end asks the rival to end
	out, said bytes.Buffer
}

func (b *bench) startRival(t rival.Task) (*started, error) {
	args, err := rival.Args(t)
	if err != nil {
		return nil, err
	}
	s := &started{}
	cmd := exec.Command(b.self, append([]string{asRival}, args...)...)
	cmd.Stdout, cmd.Stderr = &s.out, &s.said
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a rival: %w", err)
	}
	s.process, err = launch(cmd)
	return s, err
}

// result waits for what the rival has to say.
func (s *started) result(ctx context.Context) (r rival.Result, err error) {
	if err := s.wait(ctx); err != nil {
		return r, failure("a rival", err, s.said.String())
	}
	if err := json.Unmarshal(s.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("read the result of a rival: %w", err)
	}
	return r, nil
}

// rival does one task in a process of its own, from its start to its end.
func (b *bench) rival(ctx context.Context, t rival.Task) (outcome, error) {
	s, err := b.startRival(t)
	if err != nil {
		return outcome{}, err
	}
	r, err := s.result(ctx)
	return outcome{begin: r.Begin, end: r.End, keys: r.Keys, backend: report.In(r.Backend), client: s.process.cpu()}, errors.Join(err, s.closeIn())
}

// closeIn gives back the pipe, which Wait may have closed already.
func (s *started) closeIn() error {
	if err := s.in.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("let go of a rival: %w", err)
	}
	return nil
}
