package worker

import (
	"context"
	"flag"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
)

// quiet drops what go-redis prints of connections that broke: these tests break
// them on purpose.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	// Most tests here wait for servers and for time, not for a processor. A flag of
	// the command line still has the last word.
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	storetest.Main(m)
}
