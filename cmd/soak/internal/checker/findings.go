package checker

import (
	"fmt"
	"strings"
	"time"
)

// Finding is a broken promise.
type Finding struct {
	Invariant string
	Text      string
	After     time.Duration // since the faults began
}

// find notes a broken promise, of one key once.
func (w *Cluster) find(invariant, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	subject, _, _ := strings.Cut(text, " is ")
	subject, _, _ = strings.Cut(subject, " was ")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[invariant+subject] {
		return
	}
	if len(w.findings) == 0 {
		close(w.found)
	}
	w.known[invariant+subject] = true
	w.findings = append(w.findings, Finding{invariant, text, time.Since(w.begun)})
}

func (w *Cluster) count(what string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what] += n
}

// trouble is an error that faults bring about.
func (w *Cluster) trouble(whose string, err error) {
	w.count(whose+" errors", 1)
	w.logf("%s: %v", whose, err)
}

func (w *Cluster) logf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.o.Log, "%7.3f %s\n", time.Since(w.begun).Seconds(), fmt.Sprintf(format, args...))
}

// fault begins something that may go wrong; the function it returns ends it.
func (w *Cluster) fault() (over func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults++
	w.faulty = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults--
		w.calm = time.Now()
	}
}

// calmSince returns since when nothing was at fault; false while something is.
func (w *Cluster) calmSince() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm, w.faults == 0
}

// undisturbed reports whether nothing has been at fault yet.
func (w *Cluster) undisturbed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.faulty
}
