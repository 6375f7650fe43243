// Package rights asks a Redis whether it is one that Stoker can work with: its role, its mode, and whether the user of
// the URL may send each command that Stoker sends.
//
//	HELLO            role and mode; it needs no right
//	MULTI, commands  each is checked as if it were to be done, and queued; the connection is closed without EXEC
package rights

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache/resp"
)

// Report is what a Redis has answered.
type Report struct {
	Server   Server
	User     string   // of the connection
	Commands []string // that the user may not send, as an ACL names them
	Keys     []string // patterns of keys that the user may not use
	Channels []string // that the user may not subscribe to
	Unknown  []string // commands that the server does not know: they were renamed, or a proxy lacks them
	// Dashboard is what Asynq's dashboard alone lacks, as an ACL writes it
	Dashboard []string
	Asked     bool // false: the server takes no transaction, in which commands can be asked for without being done
}

// askLimit ends questions to a server that does not answer.
const askLimit = 10 * time.Second

// Check asks a Redis what it is, and for every command. Of a cluster each master is asked.
func Check(ctx context.Context, c redis.UniversalClient, n Needs) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cluster, is := c.(*redis.ClusterClient)
	if !is {
		return checkOne(ctx, c.(*redis.Client).Options(), n)
	}
	reports := make(chan Report, 1)
	reports <- Report{Asked: true}
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		r, err := checkOne(ctx, node.Options(), n)
		all := <-reports
		all.Server, all.User, all.Asked = r.Server, r.User, all.Asked && r.Asked
		all.Commands, all.Keys = append(all.Commands, r.Commands...), append(all.Keys, r.Keys...)
		all.Channels, all.Unknown = append(all.Channels, r.Channels...), append(all.Unknown, r.Unknown...)
		all.Dashboard = append(all.Dashboard, r.Dashboard...)
		reports <- all
		return err
	})
	all := <-reports
	all.sort()
	return all, err
}

func checkOne(ctx context.Context, o *redis.Options, n Needs) (r Report, err error) {
	conn, err := resp.Dial(ctx, o)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	r.User = o.Username
	if r.User == "" {
		r.User = "default"
	}
	if r.Server, err = askServer(ctx, conn); err != nil {
		return r, err
	}
	if r.Server.Mode == ModeSentinel {
		return r, nil // it has no commands to ask for
	}
	if err := r.askSubscribe(ctx, o, n.channels); err != nil {
		return r, err
	}
	if err := r.askWatch(ctx, conn, n.watched); err != nil {
		return r, err
	}
	err = r.askQueued(ctx, conn, n.commands)
	r.sort()
	return r, err
}

// askWatch asks for what cannot be part of a transaction, and does no harm.
func (r *Report) askWatch(ctx context.Context, conn *resp.Conn, watched command) error {
	asked := []string{"multi", "exec"}
	if watched.args != nil {
		asked = []string{"watch", "multi", "unwatch", "exec"}
	}
	for _, name := range asked {
		if name == "watch" {
			conn.Command(watched.args...)
		} else {
			conn.Command(strings.ToUpper(name))
		}
	}
	if err := conn.Flush(ctx); err != nil {
		return err
	}
	for _, name := range asked {
		_, err := conn.Reply()
		if refused, connected := errors.AsType[resp.Error](err); connected {
			if name == "exec" { // it also fails without MULTI, and after a command that was refused
				if strings.Contains(string(refused), "'exec'") || strings.Contains(string(refused), "unknown command") {
					r.Commands = append(r.Commands, name)
				}
				continue
			}
			r.note(command{args: []string{name}, keys: watched.keys}, refused)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// askQueued has all commands checked in a transaction that is never executed.
func (r *Report) askQueued(ctx context.Context, conn *resp.Conn, list []command) error {
	conn.Command("MULTI")
	if err := conn.Flush(ctx); err != nil {
		return err
	}
	// before anything else is sent: without a transaction the commands would be done
	if _, err := conn.Reply(); err != nil {
		if _, refused := errors.AsType[resp.Error](err); refused {
			return nil
		}
		return err
	}
	r.Asked = true
	for _, c := range list {
		conn.Command(c.args...)
	}
	if err := conn.Flush(ctx); err != nil {
		return err
	}
	for _, c := range list {
		_, err := conn.Reply()
		if refused, is := errors.AsType[resp.Error](err); is {
			r.note(c, refused)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// askSubscribe asks on a connection of its own, which can do nothing else afterwards.
func (r *Report) askSubscribe(ctx context.Context, o *redis.Options, channels []string) error {
	if len(channels) == 0 {
		return nil
	}
	conn, err := resp.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, channel := range channels {
		conn.Command("SUBSCRIBE", channel)
		if err := conn.Flush(ctx); err != nil {
			return err
		}
		_, err := conn.Reply()
		refused, is := errors.AsType[resp.Error](err)
		if is {
			r.note(command{args: []string{"subscribe"}}, refused)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// note keeps why a command was not taken, if that is a matter of rights: what else may be wrong with the server now,
// the probe of a write finds out.
func (r *Report) note(c command, refused resp.Error) {
	text := string(refused)
	refusal, _ := store.RefusalInText(text)
	key := strings.Contains(text, "access") && strings.Contains(text, "key")
	switch {
	case refusal.Code == "NOPERM" && c.optional && key:
		r.Dashboard = append(r.Dashboard, "~"+c.keys)
	case refusal.Code == "NOPERM" && c.optional:
		r.Dashboard = append(r.Dashboard, "+"+c.name())
	case c.optional:
	case refusal.Code == "NOPERM" && key:
		r.Keys = append(r.Keys, c.keys)
	case refusal.Code == "NOPERM" && strings.Contains(text, "channel"):
		r.Channels = append(r.Channels, cancelChannel)
	case refusal.Code == "NOPERM":
		r.Commands = append(r.Commands, c.name())
	case strings.Contains(text, "unknown command") || strings.Contains(text, "unknown subcommand"):
		r.Unknown = append(r.Unknown, strings.ReplaceAll(c.name(), "|", " "))
	}
}

func (r *Report) sort() {
	for _, list := range []*[]string{&r.Commands, &r.Keys, &r.Channels, &r.Unknown, &r.Dashboard} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// Grant is the statement that gives the user what it lacks; "" if that is nothing.
func (r Report) Grant() string {
	if len(r.Commands)+len(r.Keys)+len(r.Channels) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ACL SETUSER %s", r.User)
	for _, p := range r.Keys {
		b.WriteString(" ~" + p)
	}
	for _, c := range r.Channels {
		b.WriteString(" &" + c)
	}
	for _, c := range r.Commands {
		b.WriteString(" +" + c)
	}
	return b.String()
}
