package dial

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs/access"
	"github.com/stokerhq/stoker/store/cache/resp"
)

// authenticate sends AUTH, or PING where there is no password. Any answer to PING is one.
func authenticate(conn net.Conn, user, password string) error {
	if password == "" {
		_, err := exchange(conn, "PING")
		return err
	}
	name := user
	if name == "" {
		name = "default"
	}
	answer, err := exchange(conn, "AUTH", name, password)
	if err == nil && user == "" && strings.Contains(answer, "wrong number of arguments") { // before Redis 6
		answer, err = exchange(conn, "AUTH", password)
	}
	if err == nil && strings.HasPrefix(answer, "-") {
		err = fmt.Errorf("log in to redis: %w", resp.Error(answer[1:]))
	}
	return err
}

// isRefusal reports whether err says that a password is not the right one.
func isRefusal(err error) bool {
	r, is := errors.AsType[resp.Error](err)
	return is && (strings.HasPrefix(string(r), "WRONGPASS") || strings.HasPrefix(string(r), "NOAUTH") ||
		strings.HasPrefix(string(r), "ERR invalid password"))
}

// exchange sends one command and reads the one line of its answer, and not a byte more: what comes after it is
// go-redis'.
func exchange(conn net.Conn, args ...string) (string, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "*%d\r\n", len(args))
	for _, a := range args {
		out.WriteString("$" + strconv.Itoa(len(a)) + "\r\n" + a + "\r\n")
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return "", fmt.Errorf("log in to redis: %w", err)
	}
	const longest = 1 << 10
	var line []byte
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")); {
		if _, err := io.ReadFull(conn, one); err != nil {
			return "", fmt.Errorf("log in to redis: %w", err)
		}
		if line = append(line, one[0]); len(line) > longest {
			return "", errors.New("log in to redis: the answer is not one of a Redis")
		}
	}
	return string(line[:len(line)-2]), nil
}

// errPlain is said of a server that answers without TLS.
var errPlain = errors.New("the server does not speak TLS at this port (write redis:// in place of rediss://, or the " +
	"port that has TLS)")

// slow is after how long a handshake is looked into: a Redis without TLS does not answer it.
const slow = 300 * time.Millisecond

// handshake speaks TLS with a server, unless that turns out to be one without TLS.
func handshake(ctx context.Context, c *tls.Conn, addr string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	done, plain := make(chan struct{}), make(chan bool, 1)
	go func() {
		select {
		case <-done:
			plain <- false
		case <-time.After(slow):
			is := speaksPlain(ctx, addr)
			if is {
				cancel(errPlain)
			}
			plain <- is
		}
	}()
	err := c.HandshakeContext(ctx)
	close(done)
	was := <-plain
	defer cancel(nil)
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*access.CertError](err); known || strings.Contains(err.Error(), "remote error: tls:") {
		return err
	}
	if was || speaksPlain(ctx, addr) {
		return errPlain
	}
	return err
}

// probeLimit is how long a probe takes at most.
const probeLimit = time.Second

// speaksPlain reports whether a Redis answers at an address without TLS.
func speaksPlain(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	conn, err := netDialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeLimit))
	answer, err := exchange(conn, "PING")
	return err == nil && (strings.HasPrefix(answer, "+") || strings.HasPrefix(answer, "-"))
}

// SpeaksTLS reports whether a server at an address speaks TLS, whatever its certificate.
func SpeaksTLS(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent to it
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil || strings.Contains(err.Error(), "remote error: tls:")
}
