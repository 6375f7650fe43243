package outbox_test

import (
	"fmt"
	"testing"

	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/storetest"
)

// The outbox is installed, fed and read through a pooler in transaction mode.
func TestOutboxThroughPgBouncer(t *testing.T) {
	server := storetest.OwnPostgres(t)
	storetest.Exec(t, server.URL("postgres"), feedtest.Shop)
	r := newOutboxAt(t, feedtest.Pooled(t, server).URL("postgres"), feedtest.ShopWatches())
	r.url = server.URL("postgres") // the application is not behind it
	for i := range 20 {
		r.exec(fmt.Sprintf("UPDATE product SET name = 'x' WHERE id = %d", i+1))
		r.want("through the pooler", fmt.Sprintf("product map[id:%d]", i+1), fmt.Sprintf("supplier by %d", (i+1)%10))
	}
}
