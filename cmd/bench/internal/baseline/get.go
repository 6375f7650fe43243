package baseline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"
)

// Get is one GET as its reader saw it.
type Get struct {
	At   time.Time
	Took time.Duration
}

// get reads random keys, one after the other on one connection, until ctx ends. It makes its file, empty, when it
// begins to.
// It speaks the protocol itself: what a client library does beside would be
// measured as Redis' slowness.
func get(ctx context.Context, t Task) (Result, error) {
	r := Result{Begin: time.Now()}
	c, err := call(ctx, t.Redis)
	if err != nil {
		return r, err
	}
	defer c.conn.Close()
	if err := os.WriteFile(t.File, nil, 0o600); err != nil {
		return r, fmt.Errorf("make the file of the samples: %w", err)
	}
	var log samples
	for ctx.Err() == nil {
		c.key = strconv.AppendInt(append(c.key[:0], t.Job.Prefix...), 1+rand.Int64N(t.Keys), 10)
		begin := time.Now()
		n, err := c.get()
		if err != nil {
			return r, fmt.Errorf("GET %s: %w", c.key, err)
		}
		log.add(begin, time.Since(begin))
		r.Keys++
		r.Bytes += int64(n)
	}
	r.End = time.Now()
	return r, log.save(t.File)
}

// caller is a connection that GETs, in memory that is used again and again.
type caller struct {
	conn  net.Conn
	in    *bufio.Reader
	key   []byte
	out   []byte
	value []byte
}

func call(ctx context.Context, redis string) (*caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", redis)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

var errMissing = errors.New("the key is not there")

// get fetches c.key and returns the size of its value, which it throws away.
func (c *caller) get() (int, error) {
	n, err := c.roundTrip()
	if err != nil {
		return 0, err
	}
	_, err = c.in.Discard(n + len("\r\n"))
	return n, err
}

// roundTrip asks for c.key and returns the size of the value that follows.
func (c *caller) roundTrip() (int, error) {
	c.out = append(c.out[:0], "*2\r\n$3\r\nGET\r\n$"...)
	c.out = strconv.AppendInt(c.out, int64(len(c.key)), 10)
	c.out = append(append(append(c.out, "\r\n"...), c.key...), "\r\n"...)
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	text, is := bytes.CutPrefix(bytes.TrimSpace(line), []byte("$"))
	if !is {
		return 0, fmt.Errorf("redis answers %q", line)
	}
	n, err := strconv.Atoi(string(text))
	if err == nil && n < 0 {
		err = errMissing
	}
	return n, err
}

// samples are kept in pieces: growing one slice would copy all of it, and the
// reader would feel that.
type samples struct {
	full [][]int64
	now  []int64
}

const piece = 1 << 16

func (s *samples) add(at time.Time, took time.Duration) {
	if len(s.now) == cap(s.now) {
		if s.now != nil {
			s.full = append(s.full, s.now)
		}
		s.now = make([]int64, 0, piece)
	}
	s.now = append(s.now, at.UnixNano(), int64(took))
}

func (s *samples) save(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for _, p := range append(s.full, s.now) {
		if err = binary.Write(f, binary.NativeEndian, p); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

// Gets reads the samples that a reader saved.
func Gets(file string) ([]Get, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the samples of the reader: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var all []Get
	for {
		var s [2]int64
		err := binary.Read(in, binary.NativeEndian, &s)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the samples of the reader: %w", err)
		}
		all = append(all, Get{time.Unix(0, s[0]), time.Duration(s[1])})
	}
}
