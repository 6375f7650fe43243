package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
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
				base = loopbackURL(spec.Admin.Listen)
			} else if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
				return wrong("--url is %q: write it as http://127.0.0.1:8080", url)
			}
			path := "/readyz"
			if live {
				path = "/livez"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthLimit)
			defer cancel()
			if err := health(ctx, base+path); err != nil {
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

// loopbackURL is how this machine reaches an address that a daemon listens on: one that means every interface
// is reached by the loopback one.
func loopbackURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen // refused when the spec was loaded
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port)
}

// health asks a probe. An error has the daemon's own words.
func health(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("no daemon answers: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	words := strings.TrimSpace(string(body))
	if words == "" {
		words = resp.Status
	}
	return errors.New("not healthy: " + words)
}
