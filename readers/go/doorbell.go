package reader

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Doorbell asks Stoker to load a key that was missed: one query, however many processes ring.
type Doorbell struct {
	url, token string
	wait       time.Duration
	client     *http.Client
}

// NewDoorbell returns the doorbell of Stoker's admin listener. token is the spec's admin.token, if it sets one. wait is
// how long a request waits for Stoker at most: 0 for 50 ms.
func NewDoorbell(url, token string, wait time.Duration) *Doorbell {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	return &Doorbell{url: strings.TrimRight(url, "/"), token: token, wait: orDefault(wait, 50*time.Millisecond),
		client: &http.Client{Transport: transport}}
}

// ring returns what Stoker says of a key: loaded, absent or withheld.
func (d *Doorbell) ring(ctx context.Context, job *Job, key Key) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	body, err := json.Marshal(map[string]Key{"key": key})
	if err != nil {
		return "", err
	}
	url := d.url + "/api/v1/jobs/" + job.Name + "/refresh"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("ring at stoker: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ring at stoker: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("ring at stoker: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ring at stoker: %s: %.200s", resp.Status, text)
	}
	var answer struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("ring at stoker: %w", err)
	}
	return answer.State, nil
}

func (d *Doorbell) close() { d.client.CloseIdleConnections() }
