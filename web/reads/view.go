package reads

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/wording"
)

// Window is the time that is told of in one figure.
const Window = time.Hour

// silent is how old the last look may be.
const silent = time.Minute

// Report is what is told of the readers.
type Report struct {
	store.Reads
	// Window is how long the figures beside it go back, in seconds.
	Window int   `json:"window_seconds"`
	Read   int64 `json:"window_hits"`
	Missed int64 `json:"window_misses"`
	// Ratio is the share of hits in the window, and AtLeast what it is at least with Confidence; nil of no reads.
	Ratio      *float64 `json:"ratio"`
	AtLeast    *float64 `json:"ratio_at_least"`
	Confidence float64  `json:"confidence"`
}

// NewReport words what is known at a time.
func NewReport(r store.Reads, now time.Time) Report {
	switch {
	case r.At.IsZero():
		r.Unknown = "nobody counts yet: a daemon with the role admin does"
	case r.Unknown == "" && now.Sub(r.At) > silent:
		r.Unknown = "nobody has counted since " + wording.UTC(r.At) + ": a daemon with the role admin does"
	}
	report := Report{Reads: r, Window: int(Window.Seconds()), Confidence: store.Confidence}
	if r.Unknown != "" {
		return report
	}
	report.Read, report.Missed = r.Last(Window)
	if report.Read+report.Missed > 0 {
		ratio, least := store.HitRatio(report.Read, report.Missed)
		report.Ratio, report.AtLeast = &ratio, &least
	}
	return report
}

// Known reports whether there is a ratio.
func (r Report) Known() bool { return r.Ratio != nil }

// RatioText is the share of hits, never more than it is.
func (r Report) RatioText() string {
	if r.Ratio == nil {
		return "–"
	}
	return percent(*r.Ratio)
}

// percent writes a share with as many places as its distance from 100 % asks for, rounded down.
func percent(share float64) string {
	places := 1
	if share < 1 {
		places = min(7, max(1, int(math.Ceil(-math.Log10(1-share)))-1))
	}
	scale := math.Pow(10, float64(places))
	return strconv.FormatFloat(math.Floor(share*100*scale+1e-9)/scale, 'f', -1, 64) + " %"
}

// String says it in a sentence.
func (r Report) String() string {
	switch {
	case r.Unknown != "":
		return "how often readers find their key is not known: " + r.Unknown
	case r.Ratio == nil:
		return "no reader has asked the cache for a key in the last hour"
	}
	return fmt.Sprintf("%s of %s found their key in the last hour, %s did not (at least %s with %.0f %% confidence; "+
		"all keys of the servers, without Stoker's own lookups)", percent(*r.Ratio),
		wording.Quantity(r.Read+r.Missed, "read", "reads"), wording.Count(r.Missed), percent(*r.AtLeast),
		100*r.Confidence)
}

// Sentence is String as the beginning of a sentence.
func (r Report) Sentence() string {
	text := r.String()
	return strings.ToUpper(text[:1]) + text[1:]
}

// Row is an hour as the page shows it.
type Row struct {
	store.ReadsAt
	Ratio string
}

// shownHours is how many hours the page shows.
const shownHours = 24

// Past are the last hours in which something was read, newest first.
func (r Report) Past() (rows []Row) {
	for _, h := range slices.Backward(r.Hours) {
		if h.Hits+h.Misses > 0 && len(rows) < shownHours {
			ratio, _ := store.HitRatio(h.Hits, h.Misses)
			rows = append(rows, Row{h, percent(ratio)})
		}
	}
	return rows
}

// Handler answers what is known, and tells pages. Who may ask is for its caller to say.
type Handler struct {
	Read func(context.Context) (store.Reads, error)
}

// Report reads what is known now.
func (h *Handler) Report(ctx context.Context) (Report, error) {
	r, err := h.Read(ctx)
	if err != nil {
		return Report{}, err
	}
	return NewReport(r, time.Now()), nil
}

// ServeHTTP answers a Report.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report, err := h.Report(r.Context())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]string{
			"error": "the count of reads is kept in the queue's Redis, which does not answer: try again"})
		return
	}
	// what fails here is the connection, and its end is the caller's to see
	_ = json.NewEncoder(w).Encode(report)
}
