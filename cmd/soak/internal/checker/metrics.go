package checker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// scrape reads the metrics, if the daemon answers.
func (d *daemon) scrape() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	status, text, err := d.call(ctx, http.MethodGet, "/metrics", "")
	if err != nil || status != http.StatusOK {
		return
	}
	lasts := make(map[string]float64)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		n, err := strconv.ParseFloat(value, 64)
		if err == nil && strings.HasPrefix(name, "stoker_") && strings.HasSuffix(name, "_total") {
			lasts[name] += n
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lasts = lasts
}

// metrics are the counters of all that this daemon was.
func (d *daemon) metrics() map[string]float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(d.sums)
	for name, n := range d.lasts {
		all[name] += n
	}
	return all
}

// logs are the last lines that the daemons wrote.
func (w *Cluster) logs() string {
	var all strings.Builder
	for _, d := range w.daemons {
		b, err := os.ReadFile(d.log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintln(&all, err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		fmt.Fprintf(&all, "daemon %d:\n%s\n", d.n, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
	return all.String()
}
