package cache

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// do sends an act.
func (b *bench) do(ctx context.Context, p redis.Pipeliner, base int64, a act, book, key string) *redis.Cmd {
	call := func(script string, keys []string, args ...any) *redis.Cmd {
		return p.EvalSha(ctx, b.scripts[script].sha, keys, args...)
	}
	head := a.head(base)
	both := []string{book, key}
	all := append(both[:2:2], key+":new")
	switch a.what {
	case doArm:
		return call("arm", both[:1], ourNonce, 2*halfLife)
	case doClaim:
		return call("claim", both[:1], append(head, idField, a.id)...)
	case doPut:
		return call("put", all, append(head, "run", "string", wholeTTL, a.stamp)...)
	case doRefresh:
		return call("put", all, append(head, "refresh", "string", wholeTTL, a.stamp)...)
	case doTouch, doKeep:
		ttl := wholeTTL
		if a.what == doKeep {
			ttl = 0
		}
		return call("touch", both, append(head, at(base, a.since), ttl)...)
	case doFence:
		grace := int64(0)
		if a.grace {
			grace = graceTTL
		}
		return call("fence", both, head[0], modelStamp(a.stamp), grace)
	case doRemember:
		return call("keep", []string{book, key + ":head"}, head[0], idField, a.id, "a manifest", wholeTTL)
	case doPrune:
		return call("prune", both[:1], "0", 2*halfLife, pruneStep)
	case doLose:
		return p.Do(ctx, "UNLINK", book)
	case doFlush:
		return p.Do(ctx, "UNLINK", book, key)
	case doVanish:
		return p.Do(ctx, "UNLINK", key)
	}
	b.t.Fatalf("what is %d?", a.what)
	return nil
}

// head is how the arguments of every write begin.
func (a act) head(base int64) []any {
	nonce := lostNonce
	if a.mine {
		nonce = ourNonce
	}
	deadline := base - int64(a.age)*tickLong + halfLife
	return []any{nonce, modelStamp(a.stamp), deadline, runField}
}

// answer reads what a script says.
func answer(d deed, reply any) (string, error) {
	if word, ok := reply.(string); ok {
		if refusal(word) != nil || d.act.what == doRemember && word == "OK" {
			return word, nil
		}
		return "", fmt.Errorf("the script says %q", word)
	}
	list, _ := reply.([]any)
	switch d.act.what {
	case doPut, doRefresh:
		switch len(list) {
		case lookedUpHead + 1:
			return "OK", nil
		case lookedUpHead + 2:
			return "OLD", nil
		}
	case doTouch, doKeep:
		switch len(list) {
		case lookedUpHead:
			return "KEPT", nil
		case lookedUpHead + 1:
			return "SEND", nil
		}
	case doClaim:
		before := ""
		if d.from.writer != none {
			before = strconv.Itoa(int(d.from.writer))
		}
		if list[0] != before || (list[1] != "") != (d.from.pruned != none) {
			return "", fmt.Errorf("a run that came after %q, with #p %d, is told %v", before, d.from.pruned, list)
		}
		return "OK", nil
	default:
		return "OK", nil
	}
	return "", fmt.Errorf("the script says %v", reply)
}
