package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// pauses are the waits before the second and each further try.
var pauses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// tryLimit is how long one POST may take.
const tryLimit = 10 * time.Second

// message is the body in the form of Standard Webhooks.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Job     string `json:"job,omitempty"`
	Run     string `json:"run,omitempty"`
	Message string `json:"message"`
}

func body(format jobs.NotifyFormat, i incident) ([]byte, error) {
	if format == jobs.NotifySlack {
		subject := "stoker"
		if i.Job != "" {
			subject += ": " + i.Job
		}
		return json.Marshal(map[string]string{"text": fmt.Sprintf("%s: %s: %s", subject,
			strings.ReplaceAll(string(i.Event), "_", " "), escapeSlack(i.Message))})
	}
	return json.Marshal(message{"stoker." + string(i.Event), i.At.UTC(), data{i.Job, i.Run, i.Message}})
}

// escapeSlack keeps a text from being read as a link or a mention.
func escapeSlack(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// deliver sends an incident to a receiver until it is taken, or refused for good, or the tries are over. The id stays
// the same, so that a receiver that has it already can drop it.
func (n *Notifier) deliver(ctx context.Context, to jobs.Notify, id string, i incident) error {
	text, err := body(to.Format, i)
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	for try := 0; ; try++ {
		err := n.post(ctx, to, id, text)
		if err == nil {
			return nil
		}
		refused, final := errors.AsType[*refusal](err)
		if final && !refused.passes() || try == len(pauses) || !store.Sleep(ctx, pauses[try]) {
			return err
		}
	}
}

// refusal is an answer other than 2xx.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the receiver answers %d %s", r.code, r.text))
}

// passes reports whether a later try may be taken.
func (r *refusal) passes() bool {
	return r.code >= 500 || r.code == http.StatusTooManyRequests || r.code == http.StatusRequestTimeout
}

func (n *Notifier) post(ctx context.Context, to jobs.Notify, id string, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL.Reveal(), bytes.NewReader(text))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "stoker/"+n.cfg.Version)
	if err := sign(req.Header, to.Secret, id, time.Now(), text); err != nil {
		return err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	words, err := io.ReadAll(io.LimitReader(resp.Body, 200))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return &refusal{resp.StatusCode, string(words)}
}

// withoutURL takes the URL, which may have a token, out of an error of net/http.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// sign sets the headers of Standard Webhooks (https://www.standardwebhooks.com); without a secret there is no
// signature.
func sign(h http.Header, secret jobs.Secret, id string, at time.Time, text []byte) error {
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	if secret.IsZero() {
		return nil
	}
	hook, err := standardwebhooks.NewWebhookRaw([]byte(secret.Reveal()))
	if strings.HasPrefix(secret.Reveal(), "whsec_") {
		hook, err = standardwebhooks.NewWebhook(secret.Reveal())
	}
	if err != nil {
		return errors.New("the secret cannot be used")
	}
	signature, err := hook.Sign(id, at, text)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}
