package cache

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

// wire is a connection to Redis that speaks its protocol (RESP 2) without
// anything in between: what a run writes goes from the encoder's buffer to the
// socket. go-redis makes an object of every argument and every answer of every
// SET, which costs a worker more than reading and encoding the row; here a batch
// is one write, and its answers are a few thousand bytes that are glanced at.
// It is used by one goroutine.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	bufs net.Buffers // large values, and what comes before each
	look look
}

// maxWires is how many connections a run's writers use at most.
const maxWires = 8

// wire returns a connection of the claim, one that was used before if there is.
func (c *Cache) wire(ctx context.Context, cl *Claim) (*wire, error) {
	select {
	case w := <-cl.wires:
		return w, nil
	default:
		return c.dial(ctx, cl)
	}
}

// dial returns a new connection for the claim.
func (c *Cache) dial(ctx context.Context, _ *Claim) (*wire, error) {
	return dial(ctx, c.c.(*redis.Client).Options()) // streams has seen to that
}

// release gives a connection back for the next batch.
func (cl *Claim) release(w *wire) {
	select {
	case cl.wires <- w:
	default:
		w.close()
	}
}

// dial connects as the go-redis client of these options would: through its
// dialer, which knows TLS and, behind Sentinels, the master of the moment.
func dial(ctx context.Context, o *redis.Options) (*wire, error) {
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to redis: %w", err)
	}
	w := &wire{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	if err := w.greet(ctx, o); err != nil {
		w.close()
		return nil, fmt.Errorf("log in to redis: %w", err)
	}
	return w, nil
}

func (w *wire) greet(ctx context.Context, o *redis.Options) error {
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
		w.command(cmd...)
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	for range cmds {
		if _, err := w.reply(); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) close() { w.conn.Close() }

// command appends a command to what is to be sent.
func (w *wire) command(args ...string) {
	w.array(len(args))
	for _, a := range args {
		w.bulk([]byte(a))
	}
}

func (w *wire) array(n int) {
	w.out = append(w.out, '*')
	w.out = strconv.AppendInt(w.out, int64(n), 10)
	w.out = append(w.out, '\r', '\n')
}

// large is from when on a value is not copied behind the others but handed to
// the system where it lies; below, one copy is cheaper than one more piece.
const large = 16 << 10

func (w *wire) bulk(b []byte) {
	w.out = append(w.out, '$')
	w.out = strconv.AppendInt(w.out, int64(len(b)), 10)
	w.out = append(w.out, '\r', '\n')
	if len(b) < large {
		w.out = append(w.out, b...)
	} else {
		w.bufs = append(w.bufs, w.out, b)
		w.out = w.out[len(w.out):] // what is in bufs stays where it is
	}
	w.out = append(w.out, '\r', '\n')
}

// number appends an integer, not negative, as an argument.
func (w *wire) number(n int64) {
	digits := 1
	for rest := n / 10; rest > 0; rest /= 10 {
		digits++
	}
	w.out = append(w.out, '$')
	w.out = strconv.AppendInt(w.out, int64(digits), 10)
	w.out = append(w.out, '\r', '\n')
	w.out = strconv.AppendInt(w.out, n, 10)
	w.out = append(w.out, '\r', '\n')
}

// answerWithin is how long an answer may take when ctx says nothing.
const answerWithin = 30 * time.Second

// flush sends what was appended.
func (w *wire) flush(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(answerWithin)
	}
	if err := w.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if len(w.bufs) == 0 {
		_, err := w.conn.Write(w.out)
		w.out = w.out[:0]
		return err
	}
	w.bufs = append(w.bufs, w.out)
	_, err := w.bufs.WriteTo(w.conn)
	w.out, w.bufs = nil, nil
	return err
}

// replyError is an error that Redis itself answered.
type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

// reply reads one answer: a string, an int64, nil, a []any or a replyError. The
// error is of the connection, or the replyError of a plain answer.
func (w *wire) reply() (any, error) {
	line, err := w.line()
	if err != nil {
		return nil, err
	}
	text := string(line[1:])
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return nil, replyError(text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the answer of redis: %q is no length", line)
	}
	switch line[0] {
	case ':':
		return n, nil
	case '$':
		return w.text(n)
	case '*':
		return w.list(n)
	}
	return nil, fmt.Errorf("read the answer of redis: %q begins no answer", line)
}

func (w *wire) text(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	b := make([]byte, n+2)
	for read := 0; read < len(b); {
		m, err := w.in.Read(b[read:])
		if err != nil {
			return nil, fmt.Errorf("read the answer of redis: %w", err)
		}
		read += m
	}
	return string(b[:n]), nil
}

func (w *wire) list(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	list := make([]any, n)
	for i := range list {
		item, err := w.reply()
		if refused, ok := errors.AsType[replyError](err); ok {
			item, err = refused, nil
		}
		if err != nil {
			return nil, err
		}
		list[i] = item
	}
	return list, nil
}

// line reads one line of an answer, without its end. It is valid until the next.
func (w *wire) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read the answer of redis: %w", err)
	}
	if len(line) < 3 {
		return nil, errors.New("read the answer of redis: an empty line")
	}
	return line[:len(line)-2], nil
}
