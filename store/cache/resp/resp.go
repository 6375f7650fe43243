// Package resp is a connection to Redis for bulk writes: what go-redis does for single commands, without
// an object for each argument and each answer.
package resp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Conn is a connection to Redis that speaks its protocol (RESP 2) directly: what a run writes goes from
// the encoder's buffer to the socket. go-redis makes an object of every argument and every answer of
// every SET, which costs a worker more than reading and encoding the row; here a batch is one write,
// and its answers are a few thousand bytes that are scanned. It is used by one goroutine.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	bufs net.Buffers // large values, and what comes before each
}

// Dial connects as the go-redis client of these options would: through its
// dialer, which knows TLS and, behind Sentinels, the master of the moment.
func Dial(ctx context.Context, o *redis.Options) (*Conn, error) {
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to redis: %w", err)
	}
	c := &Conn{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	if err := c.authenticate(ctx, o); err != nil {
		c.Close()
		return nil, fmt.Errorf("log in to redis: %w", err)
	}
	return c, nil
}

func (c *Conn) authenticate(ctx context.Context, o *redis.Options) error {
	user, password := o.Username, o.Password
	if o.CredentialsProvider != nil {
		user, password = o.CredentialsProvider()
	}
	var cmds [][]string
	switch {
	case user != "":
		cmds = append(cmds, []string{"AUTH", user, password})
	case password != "":
		cmds = append(cmds, []string{"AUTH", password})
	}
	if o.DB != 0 {
		cmds = append(cmds, []string{"SELECT", strconv.Itoa(o.DB)})
	}
	if len(cmds) == 0 {
		return nil
	}
	for _, cmd := range cmds {
		c.Command(cmd...)
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	for range cmds {
		if _, err := c.Reply(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() { c.conn.Close() }

// Command appends a command to what is to be sent.
func (c *Conn) Command(args ...string) {
	c.Array(len(args))
	for _, a := range args {
		c.Bulk([]byte(a))
	}
}

// Array begins a command of n arguments.
func (c *Conn) Array(n int) {
	c.out = append(c.out, '*')
	c.out = strconv.AppendInt(c.out, int64(n), 10)
	c.out = append(c.out, '\r', '\n')
}

// large is the size from which a value is not copied behind the others but written from where it
// lies; below it, one copy is cheaper than one more buffer.
const large = 16 << 10

// Bulk appends an argument. It must not change before Flush.
func (c *Conn) Bulk(b []byte) {
	c.out = append(c.out, '$')
	c.out = strconv.AppendInt(c.out, int64(len(b)), 10)
	c.out = append(c.out, '\r', '\n')
	if len(b) < large {
		c.out = append(c.out, b...)
	} else {
		c.bufs = append(c.bufs, c.out, b)
		c.out = c.out[len(c.out):] // what is in bufs stays where it is
	}
	c.out = append(c.out, '\r', '\n')
}

// Number appends an integer, not negative, as an argument.
func (c *Conn) Number(n int64) {
	digits := 1
	for rest := n / 10; rest > 0; rest /= 10 {
		digits++
	}
	c.out = append(c.out, '$')
	c.out = strconv.AppendInt(c.out, int64(digits), 10)
	c.out = append(c.out, '\r', '\n')
	c.out = strconv.AppendInt(c.out, n, 10)
	c.out = append(c.out, '\r', '\n')
}

// answerWithin is how long an answer may take when ctx says nothing.
const answerWithin = 30 * time.Second

// Flush sends what was appended.
func (c *Conn) Flush(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(answerWithin)
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // Interrupt may have come before
	}
	if len(c.bufs) == 0 {
		_, err := c.conn.Write(c.out)
		c.out = c.out[:0]
		return err
	}
	c.bufs = append(c.bufs, c.out)
	_, err := c.bufs.WriteTo(c.conn)
	c.out, c.bufs = nil, nil
	return err
}

// Interrupt ends what the connection waits for, from another goroutine.
func (c *Conn) Interrupt() { _ = c.conn.SetDeadline(time.Unix(1, 0)) }

// Error is an error that Redis itself answered.
type Error string

// Error returns the answer without its leading dash.
func (e Error) Error() string { return string(e) }

// RedisError marks it as an answer of the server, as go-redis does.
func (Error) RedisError() {}

// Reply reads one answer: a string, an int64, nil, a []any or a Error. The
// error is of the connection, or the Error of a plain answer.
func (c *Conn) Reply() (any, error) {
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	text := string(line[1:])
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return nil, Error(text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the answer of redis: %q is no length", line)
	}
	switch line[0] {
	case ':':
		return n, nil
	case '$':
		return c.text(n)
	case '*':
		return c.list(n)
	}
	return nil, fmt.Errorf("read the answer of redis: %q begins no answer", line)
}

func (c *Conn) text(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	b := make([]byte, n+2)
	for read := 0; read < len(b); {
		m, err := c.in.Read(b[read:])
		if err != nil {
			return nil, fmt.Errorf("read the answer of redis: %w", err)
		}
		read += m
	}
	return string(b[:n]), nil
}

func (c *Conn) list(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	list := make([]any, n)
	for i := range list {
		item, err := c.Reply()
		if refused, ok := errors.AsType[Error](err); ok {
			item, err = refused, nil
		}
		if err != nil {
			return nil, err
		}
		list[i] = item
	}
	return list, nil
}

// Line reads one line of an answer, without its end. It is valid until the next.
func (c *Conn) Line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read the answer of redis: %w", err)
	}
	if len(line) < 3 {
		return nil, errors.New("read the answer of redis: an empty line")
	}
	return line[:len(line)-2], nil
}

// Raw appends bytes that are part of the protocol already.
func (c *Conn) Raw(b []byte) { c.out = append(c.out, b...) }
