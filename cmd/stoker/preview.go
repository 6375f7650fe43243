package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/internal/show"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker"
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
				p := printer{app: a}
				warning, err := worker.Preview(cmd.Context(), r.servers.source, list[0], limit, p.show)
				if err != nil {
					return err
				}
				if warning != "" {
					r.say("stoker: %s", warning)
				}
				return p.end(list[0].Name)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many keys to show")
	return cmd
}

// printer prints the entries of a preview.
type printer struct {
	*app
	list  []previewEntry
	keys  int
	bytes int64
}

type previewEntry struct {
	Key        string          `json:"key"`
	Value      json.RawMessage `json:"value"`
	Bytes      int             `json:"bytes"`
	TTLSeconds float64         `json:"ttl_seconds"`
}

// longestValue is how much of a value a terminal line shows.
const longestValue = 400

func (p *printer) show(e store.Entry) error {
	p.keys++
	p.bytes += int64(e.Size())
	if p.json {
		p.list = append(p.list, previewEntry{string(e.Key), json.RawMessage(strings.Clone(string(e.Value))), len(e.Value), e.TTL.Seconds()})
		return nil
	}
	value := string(e.Value)
	if len(value) > longestValue {
		value = strings.ToValidUTF8(value[:longestValue], "") + " ..."
	}
	_, err := fmt.Fprintf(p.stdout, "%s  (%s, TTL %s)\n  %s\n", e.Key, show.Bytes(int64(len(e.Value))), show.Duration(e.TTL), value)
	return err
}

func (p *printer) end(job string) error {
	if p.json {
		if p.list == nil {
			p.list = []previewEntry{}
		}
		return p.printJSON(p.list)
	}
	_, err := fmt.Fprintf(p.stdout, "%s: %s shown, %s; nothing was written\n", job, plural(p.keys, "key"), show.Bytes(p.bytes))
	return err
}
