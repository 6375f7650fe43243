package cache_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/cache"
)

const countScript = "return redis.call('INCR', KEYS[1])"

// A pipeline whose scripts Redis has forgotten, or forgets halfway, is given them
// again, and each call is made exactly once.
func TestScriptsAreForgotten(t *testing.T) {
	keys := strings.Fields("a b c d e f g h")
	for name, forget := range map[string]func(*rig){
		"at once": func(r *rig) { r.client.ScriptFlush(r.Context()) },
		"halfway": func(r *rig) {
			r.client.AddHook(&halving{r: r})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.values.RunScript(t.Context(), countScript, keys[0]); err != nil {
				t.Fatal(err)
			}
			r.client.FlushDB(t.Context())
			forget(r)
			cmds, err := r.values.RunScript(t.Context(), countScript, keys...)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range keys {
				if said, is := cmds[i].Val(), r.client.Get(t.Context(), k).Val(); said != int64(1) || is != "1" {
					t.Errorf("%s was counted %s times, and told %v", k, is, said)
				}
			}
		})
	}
}

// halving cuts the next pipeline in two and has Redis forget all scripts between.
type halving struct {
	r    *rig
	done bool
}

func (h *halving) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.done || len(cmds) < 2 {
			return next(ctx, cmds)
		}
		h.done = true
		if err := next(ctx, cmds[:len(cmds)/2]); err != nil {
			return err
		}
		h.r.client.ScriptFlush(ctx)
		return next(ctx, cmds[len(cmds)/2:])
	}
}

func (h *halving) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return next(ctx, cmd) }
}

func (h *halving) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// Every step of the protocol goes on when Redis forgets the scripts before it.
func TestEveryStepSurvivesForgetting(t *testing.T) {
	r := newRig(t)
	forget := func() { r.client.ScriptFlush(t.Context()) }
	forget()
	cl := r.claim(10)
	cl.ByScript()
	forget()
	put(t, r.values, cl, entry("a", "v", time.Hour))
	last := cl.NewManifest()
	forget()
	if cl = r.claimByScript(11); !cl.Trust(last) {
		t.Error("the last run is not trusted")
	}
	forget()
	if n, err := r.values.Touch(t.Context(), cl, kept(true, "a")); n != 1 || err != nil {
		t.Errorf("%d touched, %v", n, err)
	}
	forget()
	r.fence(12, "a", 0)
	r.age("a", 1)
	forget()
	r.prune(1)
	forget()
	if s, err := r.values.Stamp(t.Context(), r.armed, moment(12)); s.Clock != 12 || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	forget()
	put(t, r.values, r.values.ClaimRefresh(r.armed, product, at(12)), entry("a", "v", time.Hour))
}

// A Redis that does not know the flags of scripts refuses them when it is given
// them; without their first line they are the same.
func TestRedisWithoutFlags(t *testing.T) {
	r := newRig(t)
	r.client.ScriptFlush(t.Context())
	refused := r.client.ScriptLoad(t.Context(), "#!no such engine").Err()
	if refused == nil {
		t.Fatal("redis takes anything for a script")
	}
	loads := 0
	r.client.AddHook(before(func(cmd redis.Cmder) error {
		if cmd.Name() != "script" {
			return nil
		}
		loads++
		if text, _ := cmd.Args()[2].(string); strings.HasPrefix(text, "#!") {
			return refused
		}
		return nil
	}))
	cl := r.claim(10)
	if !r.values.Flagless() {
		t.Error("it is not remembered that this redis knows no flags")
	}
	put(t, r.values, cl, entry("a", "v", time.Hour))
	r.fence(11, "a", 0)
	if out := put(t, r.values, cl, entry("a", "v", time.Hour)); out.Old != 1 {
		t.Errorf("%+v", out)
	}
	before := loads
	if _, err := r.values.Fence(t.Context(), r.armed, at(12), [][]byte{[]byte("a")}, cache.Drop); err != nil {
		t.Error(err)
	}
	if loads != before {
		t.Errorf("a script that is there was loaded again")
	}
}
