package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/daemon"
	"github.com/stokerhq/stoker/cmd/stoker/internal/demolog"
	"github.com/stokerhq/stoker/cmd/stoker/internal/shop"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/store/testserver"
)

func (a *app) demoCmd() *cobra.Command {
	o := demoOptions{redis: "server", listen: "127.0.0.1:8080"}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole thing on private throw-away servers, until Ctrl-C",
		Long: `Starts a private Postgres and Redis of its own on free ports, fills a sample shop,
keeps changing it, and keeps four of its queries warm. It touches no server that
was there before and leaves nothing behind. It needs the programs of a Postgres
server, and a redis-server unless told otherwise.`,
		Example: `  stoker demo
  stoker demo --redis embedded            without a redis-server`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.redis != "server" && o.redis != "embedded" {
				return wrong("--redis is %q: give server or embedded", o.redis)
			}
			o.chosen = cmd.Flags().Changed("listen")
			err := a.demo(cmd.Context(), o)
			if cmd.Context().Err() != nil && !errors.Is(err, errLeft) {
				return nil // stopped while it started: what was cut off is no failure
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.redis, "redis", o.redis,
		"server: a private redis-server; embedded: one inside this process")
	cmd.Flags().StringVar(&o.listen, "listen", o.listen, "address of the status page; a free port if this one is taken")
	return cmd
}

type demoOptions struct {
	redis  string
	listen string
	chosen bool // the address was asked for: another will not do
}

// demo is the life of the demo: servers, shop, daemon, writer, reporter; and
// everything away again, in the opposite order.
func (a *app) demo(ctx context.Context, o demoOptions) (err error) {
	begun := time.Now()
	a.printf("starting a private Postgres and Redis ...")
	cacheURL, cli, closeRedis, err := shop.StartRedis(ctx, o.redis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left(closeRedis())) }()
	server, err := testserver.StartPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left(server.Close())) }()
	a.printf("filling a shop of %d products ...", shop.Products)
	s, err := shop.Open(ctx, server)
	if err != nil {
		return err
	}
	listen, err := o.address()
	if err != nil {
		return err
	}
	spec, err := demoSpec(s.URL(), cacheURL, listen)
	if err != nil {
		return err
	}
	d, err := daemon.New(daemon.Config{Spec: spec, Roles: daemon.AllRoles, Version: version(), Commit: revision(),
		Log: a.log(slog.LevelWarn)})
	if err != nil {
		return err
	}
	node, closeNode, err := demoReader(ctx, s, cacheURL, listen)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	defer closeNode()
	a.printf(welcome, time.Since(begun).Seconds(), listen, listen, cli, node)
	return a.demoRuns(ctx, d, spec, s)
}

// demoReader starts the API node beside the shop, and returns what is said of it: its page, or what it lacks.
func demoReader(ctx context.Context, s *shop.Shop, cacheURL, listen string) (text string, stop func(), err error) {
	r, err := shop.StartReader(ctx, s.URL(), cacheURL, "http://"+listen)
	if errors.Is(err, shop.ErrNoPython) {
		return "not started: " + err.Error(), func() {}, nil
	}
	if err != nil {
		return "", nil, err
	}
	return r.URL + " reads them: hits, ETags, and what a COMMIT does", r.Close, nil
}

// errLeft: something of the demo could not be removed.
var errLeft = errors.New("the demo left something behind")

func left(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	return nil
}

const welcome = `up after %.0f seconds

  status page      http://%s/
  Asynq dashboard  http://%s/queues/
  a warm key       %s
  a FastAPI node   %s

Ctrl-C ends it and leaves nothing behind.
`

// demoRuns runs the daemon, the shop's writer and the reporter until ctx ends
// or one of them fails.
func (a *app) demoRuns(ctx context.Context, d *daemon.Daemon, spec *jobs.Spec, s *shop.Shop) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	servers, err := connect.Open(spec, a.log(slog.LevelWarn))
	if err != nil {
		return errors.Join(err, d.Close())
	}
	report := &demolog.Reporter{Spec: spec, Shop: s, Servers: servers, Print: a.printf}
	var wg sync.WaitGroup
	var errs [3]error
	for i, part := range []func(context.Context) error{d.Run, report.Run, s.Write} {
		wg.Go(func() {
			if errs[i] = part(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	a.printf("stopping: servers and files go")
	return errors.Join(append(errs[:], servers.Close())...)
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }

// address is where the demo's page listens: the usual address, or a free port
// if another program has it.
func (o demoOptions) address() (string, error) {
	l, err := net.Listen("tcp", o.listen)
	if err != nil && !o.chosen {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// demoSpec loads the shop's spec the way every spec is loaded: from a file.
func demoSpec(postgresURL, redisURL, listen string) (*jobs.Spec, error) {
	dir, err := os.MkdirTemp("", "stoker-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the demo's spec: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "stoker.yaml")
	if err := os.WriteFile(file, []byte(shop.Spec), 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's spec: %w", err)
	}
	vars := map[string]string{"SHOP_POSTGRES": postgresURL, "SHOP_REDIS": redisURL, "SHOP_LISTEN": listen}
	return specfile.Load(file, func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
}
