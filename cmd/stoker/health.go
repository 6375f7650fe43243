package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/probe"
)

// healthLimit is how long a probe may take: less than the time-outs of Docker and systemd.
const healthLimit = 4 * time.Second

func (a *app) healthCmd() *cobra.Command {
	var live bool
	var url string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the daemon of this machine whether it is ready: the probe of an image without a shell",
		Long: `Asks /readyz of the daemon whose address the spec names, and exits with 0 if it is ready and with 1 if it is not
or does not answer. With --live it asks /livez: whether the process is alive at all, whatever its servers do.
Only admin.listen is needed of the spec; --url does without a spec.`,
		Example: `  stoker health
  stoker health --live
  stoker health --url http://10.0.0.7:8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base := strings.TrimSuffix(url, "/")
			if base == "" {
				spec, err := a.spec()
				if err != nil {
					return err
				}
				base = probe.LoopbackURL(spec.Admin.Listen)
			} else if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
				return wrong("--url is %q: write it as http://127.0.0.1:8080", url)
			}
			path := "/readyz"
			if live {
				path = "/livez"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
			defer cancel()
			if err := probe.Get(ctx, base+path); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.stdout, strings.TrimPrefix(path, "/")+": ok")
			return err
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether the process is alive")
	cmd.Flags().StringVar(&url, "url", "", "base `URL` of the daemon's page (default: from admin.listen)")
	return cmd
}
