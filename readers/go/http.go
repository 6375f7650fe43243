package reader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Serve reads a key and answers a GET or HEAD for it.
func (r *Reader) Serve(w http.ResponseWriter, req *http.Request, job *Job, key Key) {
	Write(w, req, job, r.Read(req.Context(), job, key))
}

// Write sends an answer over HTTP: the bytes as they are, never parsed and printed again.
func Write(w http.ResponseWriter, req *http.Request, job *Job, answer Answer) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Cache-Status", cacheStatus(answer))
	status, body, mediaType := http.StatusOK, answer.Body, job.MediaType
	switch {
	case body != nil:
		tag := ETag(body)
		h.Set("ETag", tag)
		if answer.Source != FromStale {
			h.Set("Cache-Control", cacheControl(job.Freshness))
		}
		if coding := codingOf(body); coding != "" {
			h.Set("Content-Encoding", coding)
			h.Add("Vary", "Accept-Encoding")
		}
		if matches(req.Header.Values("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	case answer.Outcome == Absent:
		status, body, mediaType = http.StatusNotFound, []byte(`{"detail":"not found"}`), ""
	default:
		h.Set("Retry-After", "1")
		status, body, mediaType = http.StatusServiceUnavailable, []byte(`{"detail":"temporarily unavailable"}`), ""
	}
	if mediaType == "" {
		mediaType = "application/json"
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		w.Write(body) // what fails here is the connection, and its end is the client's to notice
	}
}

// cacheStatus is the header of RFC 9211.
func cacheStatus(a Answer) string {
	switch {
	case a.Outcome == Hit:
		return "stoker; hit"
	case a.Source == FromNothing:
		return "stoker; fwd=uri-miss; detail=" + string(a.Outcome)
	}
	return "stoker; fwd=uri-miss; detail=" + string(a.Outcome) + "/" + string(a.Source)
}

func cacheControl(freshness time.Duration) string {
	if freshness < time.Second {
		return "no-cache"
	}
	return "max-age=" + strconv.Itoa(int(freshness/time.Second))
}

// codingOf is how a job with `compress` has written a value.
func codingOf(body []byte) string {
	switch {
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "gzip"
	case bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		return "zstd"
	}
	return ""
}

// ETag is a strong ETag: equal bytes have the same in every process and every language.
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

var tags = regexp.MustCompile(`(?:W/)?("[^"]*")`)

// matches reports whether an If-None-Match names the tag. It compares weakly, as RFC 9110 says: a proxy may have
// added W/.
func matches(ifNoneMatch []string, tag string) bool {
	header := strings.Join(ifNoneMatch, ", ")
	return strings.TrimSpace(header) == "*" || slices.ContainsFunc(tags.FindAllStringSubmatch(header, -1),
		func(m []string) bool { return m[1] == tag })
}
