package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// awaitAgreement waits until Redis holds what Postgres says, and nothing else, and goes on
// doing so. It returns how they differ at the end of the limit; "" if they do not.
func (w *Cluster) awaitAgreement(ctx context.Context, limit time.Duration) (diff string) {
	deadline, equal := time.Now().Add(limit), 0
	for equal < 3 {
		if diff = w.differ(ctx); diff == "" {
			equal++
		} else {
			equal = 0
		}
		if diff != "" && time.Now().After(deadline) || ctx.Err() != nil {
			return diff
		}
		time.Sleep(100 * time.Millisecond)
	}
	return ""
}

// differ compares Redis with Postgres, key by key.
func (w *Cluster) differ(ctx context.Context) string {
	want, err := w.truth(ctx)
	if err != nil {
		return err.Error()
	}
	got, err := w.cached(ctx)
	if err != nil {
		return err.Error()
	}
	var missing, stale, beyond []string
	for key, value := range want {
		switch is, there := got[key]; {
		case !there:
			missing = append(missing, key)
		case is != value:
			stale = append(stale, fmt.Sprintf("%s is %.150s, Postgres says %.150s", key, is, value))
		}
	}
	for key := range maps.Keys(got) {
		if _, known := want[key]; !known {
			beyond = append(beyond, fmt.Sprintf("%s is %.100s", key, got[key]))
		}
	}
	return strings.TrimSpace(some("stale", stale) + some("missing", missing) + some("beyond", beyond))
}

// some names a few of many.
func some(what string, all []string) string {
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return fmt.Sprintf("%d %s: %s. ", len(all), what, strings.Join(all[:min(3, len(all))], "; "))
}

// truth is what every key should hold.
func (w *Cluster) truth(ctx context.Context) (map[string]string, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, truthSQL(w.o.jobs()))
	if err != nil {
		return nil, err
	}
	want := make(map[string]string)
	var key, value string
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		want[key] = value
		return nil
	})
	return want, err
}

// cached is what is in Redis, but for what is Stoker's and Asynq's own.
func (w *Cluster) cached(ctx context.Context) (map[string]string, error) {
	got := make(map[string]string)
	for scan := w.cache.Scan(ctx, 0, "*", 500).Iterator(); ; {
		if !scan.Next(ctx) {
			if err := scan.Err(); err != nil {
				return nil, err
			}
			break
		}
		if key := scan.Val(); !strings.HasPrefix(key, "stoker:") && !strings.HasPrefix(key, "asynq:") &&
			!w.ofNeighbour(key) {
			got[key] = ""
		}
	}
	keys := slices.Collect(maps.Keys(got))
	if len(keys) == 0 {
		return got, nil
	}
	values, err := w.cache.MGet(ctx, keys...).Result()
	for i, value := range values {
		if text, there := value.(string); there {
			got[keys[i]] = text
		} else {
			delete(got, keys[i])
		}
	}
	return got, err
}

// serving reports whether all daemons answer and, where changes are to be followed, one follows them.
func (w *Cluster) serving(ctx context.Context) (bool, error) {
	follows := w.o.Source == "none"
	for _, d := range w.daemons {
		_, text, err := d.call(ctx, http.MethodGet, "/metrics", "")
		if err != nil {
			return false, err
		}
		follows = follows || strings.Contains(string(text), "\nstoker_changes_following 1\n")
	}
	return follows, nil
}

// followed reports whether every job was run since changes are followed: runs that
// come later would make up for what a scenario breaks.
func (w *Cluster) followed(ctx context.Context) (bool, error) {
	if w.o.Source == "none" {
		return true, nil
	}
	record, err := w.cache.HMGet(ctx, epochKey, "epoch", "feed").Result()
	if err != nil || record[1] == nil {
		return false, err
	}
	for _, j := range w.o.jobs() {
		_, text, err := w.daemons[0].call(ctx, http.MethodGet, "/api/v1/jobs/"+j.Name, "")
		if err != nil {
			return false, err
		}
		var job struct {
			Last struct {
				State string
				Epoch int64
			} `json:"last_run"`
		}
		if err := json.Unmarshal(text, &job); err != nil {
			return false, err
		}
		if job.Last.State != "ok" || fmt.Sprint(job.Last.Epoch) != record[0] {
			return false, nil
		}
	}
	return true, nil
}

// verified has `stoker verify` look, too: where Redis and Postgres agree, it must
// find nothing.
func (w *Cluster) verified(ctx context.Context) {
	cmd := exec.CommandContext(ctx, w.o.Binary, "verify", "--config", w.daemons[0].spec)
	cmd.Env = w.daemons[0].environment
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		w.find("I1", "Redis and Postgres agree, and stoker verify says: %v\n%s", err, out)
	}
}
