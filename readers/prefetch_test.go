package readers

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What Redis' published readers of a prefetch cache do: HGETALL cache:category:{id}; no field is a miss. Each prints
// the hashes of some ids as JSON.
const (
	prefetchPython = `
import json, sys, redis
client = redis.Redis.from_url(sys.argv[1], decode_responses=True)
print(json.dumps([client.hgetall("cache:category:" + id) or None for id in sys.argv[2:]]))
client.close()
`
	prefetchNode = `
const { createClient } = require("redis");
(async () => {
  const client = createClient({ url: process.argv[1] });
  await client.connect();
  const all = [];
  for (const id of process.argv.slice(2)) {
    const hash = await client.hGetAll("cache:category:" + id);
    all.push(hash && Object.keys(hash).length > 0 ? hash : null);
  }
  console.log(JSON.stringify(all));
  await client.quit();
})();
`
)

// A job of type hash serves the readers of Redis' prefetch-cache pages as they are, in three languages. Broken by: a
// field that is no text, a NULL that has one, a hash without a TTL.
func TestPrefetchReaders(t *testing.T) {
	t.Parallel()
	k := keepWarm(t, librarySpec)
	want := []map[string]string{
		{"id": "42", "name": `Zoë "the \ cat" ☃`, "price": "1.50", "tags": `["a","b"]`},
		{"id": "43", "name": "n", "price": "2.00"}, nil,
	}
	ids := []string{"42", "43", "44"}
	for _, id := range ids[:2] {
		if ttl := k.redis.TTL(t.Context(), "cache:category:"+id).Val(); ttl <= 0 {
			t.Errorf("%s has TTL %s", id, ttl)
		}
	}
	read := func(name string, cmd *exec.Cmd) {
		var said, complained bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &complained
		var got []map[string]string
		if err := cmd.Run(); err != nil || complained.Len() > 0 {
			t.Errorf("%s: %v: %s", name, err, complained.String())
		} else if err := json.Unmarshal(said.Bytes(), &got); err != nil {
			t.Errorf("%s: %v: %s", name, err, said.String())
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	t.Run("go", func(t *testing.T) {
		var got []map[string]string
		for _, id := range ids {
			hash, err := k.redis.HGetAll(t.Context(), "cache:category:"+id).Result()
			if err != nil {
				t.Fatal(err)
			}
			if len(hash) == 0 {
				hash = nil
			}
			got = append(got, hash)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
	t.Run("python", func(t *testing.T) {
		read("python", exec.Command(python(t), append([]string{"-c", prefetchPython, k.rd}, ids...)...))
	})
	t.Run("node", func(t *testing.T) {
		cmd := nodeRunner(t, "conformance.js") // for its folder, with the client beside it
		cmd.Args = append([]string{"node", "-e", prefetchNode, "--", k.rd}, ids...)
		read("node", cmd)
	})
}
