package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/cmd/stoker/internal/estimate"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/preview"
)

func (a *app) previewCmd() *cobra.Command {
	limit := 10
	cmd := &cobra.Command{
		Use:   "preview JOB",
		Short: "The keys, values and sizes a run would write; writes nothing",
		Example: `  stoker preview product
  stoker preview product --limit 1 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return wrong("--limit is %d: give 1 or more", limit)
			}
			return a.with(false, true, func(r *runner) error {
				list, err := named(r.spec, args)
				if err != nil {
					return err
				}
				p := printer{app: a, job: list[0], list: []previewEntry{}}
				warning, err := preview.Show(cmd.Context(), r.servers.Source, list[0], limit, p.show)
				if err != nil {
					return err
				}
				if warning != "" {
					r.say("stoker: %s", warning)
				}
				return p.end(cmd.Context(), r, limit)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many keys to show")
	return cmd
}

// printer prints the entries of a preview.
type printer struct {
	*app
	job   *jobs.Job
	list  []previewEntry
	keys  int
	bytes int64
}

type previewEntry struct {
	Key        string          `json:"key"`
	Value      json.RawMessage `json:"value,omitempty"`
	Base64     []byte          `json:"value_base64,omitempty"` // of a value that is no text
	Bytes      int             `json:"bytes"`
	TTLSeconds float64         `json:"ttl_seconds"`
}

// longestValue is how much of a value a terminal line shows.
const longestValue = 400

func (p *printer) show(e store.Entry) error {
	p.keys++
	p.bytes += int64(e.Size())
	text, err := p.text(e.Value)
	if err != nil {
		return err
	}
	if p.json {
		entry := previewEntry{Key: string(e.Key), Value: text, Bytes: len(e.Value), TTLSeconds: e.TTL.Seconds()}
		if text == nil {
			entry.Base64 = slices.Clone(e.Value)
		}
		p.list = append(p.list, entry)
		return nil
	}
	value := string(text)
	if text == nil {
		value = fmt.Sprintf("%x", e.Value[:min(len(e.Value), longestValue/2)])
	}
	if len(value) > longestValue {
		value = strings.ToValidUTF8(value[:longestValue], "") + " ..."
	}
	_, err = fmt.Fprintf(p.stdout, "%s  (%s, TTL %s)\n  %s\n", e.Key, show.Bytes(int64(len(e.Value))),
		show.Duration(e.TTL), value)
	return err
}

// text is a value as JSON that can be shown; nil if its bytes cannot.
func (p *printer) text(value []byte) (json.RawMessage, error) {
	switch {
	case p.job.Type == jobs.TypeHash:
		var fields []string
		if err := msgpack.Unmarshal(value, &fields); err != nil {
			return nil, fmt.Errorf("show a hash: %w", err)
		}
		hash := make(map[string]string)
		for pair := range slices.Chunk(fields, 2) {
			hash[pair[0]] = pair[1]
		}
		return json.Marshal(hash)
	case p.job.Type == jobs.TypeZSet:
		var rows [][]string // score and member: a score may be infinite, which no number in JSON is
		if err := msgpack.Unmarshal(value, &rows); err != nil {
			return nil, fmt.Errorf("show a ranking: %w", err)
		}
		return json.Marshal(rows)
	case isJSON(p.job.Format) && json.Valid(value): // it may be compressed
		return slices.Clone(value), nil
	case p.job.Format == jobs.FormatText && utf8.Valid(value):
		return json.Marshal(string(value))
	}
	return nil, nil
}

func isJSON(f jobs.Format) bool { return f == jobs.FormatJSON || f == jobs.FormatFastAPIRedis }

// end says what a run would do with the whole set. A preview shows what it can where Redis is not there.
func (p *printer) end(ctx context.Context, r *runner, limit int) error {
	full, err := estimate.Refusal(ctx, r.spec, r.servers, p.job)
	switch {
	case err != nil:
		r.say("stoker: it is not known whether the cache has room: %v", err)
	case full != nil:
		r.say("stoker: a run would be refused now: %v", full)
	}
	if p.json {
		return p.printJSON(p.list)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s shown, %s; nothing was written\n", p.job.Name,
		show.Plural(p.keys, "key"), show.Bytes(p.bytes))
	if err != nil {
		return err
	}
	return estimate.Print(ctx, p.stdout, r.servers, p.job,
		estimate.Sample{Keys: p.keys, Bytes: p.bytes, Whole: p.keys < limit})
}
