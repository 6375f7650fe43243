package warmz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web"
)

// Config is what a Handler needs. Every field is required.
type Config struct {
	Spec    func() *jobs.Spec // in use
	Ledger  web.Ledger
	Sampler web.Sampler
	Slots   int // runs that go on at a time
}

// Handler answers GET /warmz?min=99%&job=NAME: 200 if each job named (all, where none is) is warm to min, 99 % unless
// given; 503 if not; 400 for what it cannot read. The body is a Report, as JSON, or one line where text is preferred.
// It
// is open to everyone, as other probes are: so it is read at most once a second, whoever asks.
type Handler struct {
	cfg Config

	mu   sync.Mutex
	at   time.Time
	last []web.JobStatus
	err  error
}

// NewHandler returns a handler of the jobs of the spec in use.
func NewHandler(c Config) *Handler { return &Handler{cfg: c} }

// DefaultMin is the share that counts as warm unless another one is asked for.
const DefaultMin = 0.99

// readEvery bounds what probes cost Redis.
const readEvery = time.Second

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	least, names, err := h.parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	statuses, now, err := h.read(r.Context())
	if err != nil {
		http.Error(w, "how warm the cache is cannot be read: redis does not answer", http.StatusServiceUnavailable)
		return
	}
	report := Of(selected(statuses, names), h.cfg.Slots, now)
	status := http.StatusOK
	if !report.Warm(least) {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, report) // a client that has gone is no one's concern
		return
	}
	body, err := json.Marshal(report)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func (h *Handler) parse(r *http.Request) (share float64, names []string, err error) {
	q, err := url.ParseQuery(encodePercent(r.URL.RawQuery))
	if err != nil {
		return 0, nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	for name := range q {
		if name != "min" && name != "job" {
			return 0, nil, fmt.Errorf("there is no parameter %q: use min and job", name)
		}
	}
	share = DefaultMin
	if text := q.Get("min"); q.Has("min") {
		if share, err = ParseShare(text); err != nil {
			return 0, nil, fmt.Errorf("min: %w", err)
		}
	}
	names = slices.DeleteFunc(q["job"], func(name string) bool { return name == "" })
	for _, name := range names {
		if !slices.ContainsFunc(h.cfg.Spec().Jobs, func(j *jobs.Job) bool { return j.Name == name }) {
			return 0, nil, fmt.Errorf("there is no job %q", name)
		}
	}
	return share, names, nil
}

// encodePercent encodes each % that is a percent sign, as in min=99%, which a query has to write as %25.
func encodePercent(query string) string {
	var b strings.Builder
	for i := range len(query) {
		b.WriteByte(query[i])
		if query[i] == '%' && !(i+2 < len(query) && isHex(query[i+1]) && isHex(query[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// read returns what was read in the last second, or reads anew.
func (h *Handler) read(ctx context.Context) ([]web.JobStatus, time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) >= readEvery {
		now := time.Now()
		h.last, h.err = web.Collect(ctx, h.cfg.Spec(), h.cfg.Ledger, h.cfg.Sampler, now)
		h.at = now
	}
	return h.last, h.at, h.err
}

// selected returns the states of the jobs named, in their order; all where none is named.
func selected(statuses []web.JobStatus, names []string) []web.JobStatus {
	if len(names) == 0 {
		return statuses
	}
	var list []web.JobStatus
	for _, st := range statuses {
		if slices.Contains(names, st.Name) {
			list = append(list, st)
		}
	}
	return list
}

// ParseShare reads a share as "99%".
func ParseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || !(v >= 0 && v <= 100) {
		return 0, errors.New("write a share as 99% or 99.9% (in a URL: 99%25)")
	}
	return v / 100, nil
}
