// Package shop is the demo's sample application: a shop on a private Postgres,
// with a writer that keeps changing it, as customers and editors would.
package shop

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/store/testserver"
)

//go:embed schema.sql
var schema string

// Spec is the spec file of the shop's hot queries. It takes its addresses from
// the environment: SHOP_POSTGRES, SHOP_REDIS and SHOP_LISTEN.
//
//go:embed stoker.yaml
var Spec string

// Products is how many products the shop has; their ids are 1 to Products.
const Products = 20000

// Shop is the sample database.
type Shop struct {
	server   *testserver.Postgres
	database string

	Changes atomic.Int64 // rows changed by Write
}

// Open creates the shop's tables in a new database of the server and fills them.
func Open(ctx context.Context, server *testserver.Postgres) (*Shop, error) {
	s := &Shop{server: server, database: "shop"}
	if err := s.exec(ctx, "postgres", "CREATE DATABASE shop"); err != nil {
		return nil, fmt.Errorf("create the shop: %w", err)
	}
	if err := s.exec(ctx, s.database, schema); err != nil {
		return nil, fmt.Errorf("fill the shop: %w", err)
	}
	return s, nil
}

// URL is the connection string of the shop's database.
func (s *Shop) URL() string { return s.server.URL(s.database) }

func (s *Shop) exec(ctx context.Context, database, sql string) error {
	shell, err := s.server.Shell(ctx, database)
	if err != nil {
		return err
	}
	if _, err := shell.Exec(sql); err != nil {
		return err
	}
	return shell.Close()
}

// Write keeps changing the shop until ctx ends: every tenth of a second some
// orders are placed, stock goes down, and the prices of a few products change.
// It does not report it.
func (s *Shop) Write(ctx context.Context) error {
	// The session outlives ctx, so that the last transaction ends in order.
	shell, err := s.server.Shell(context.WithoutCancel(ctx), s.database)
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return shell.Close()
		case <-tick.C:
		}
		ids := pick(5)
		if _, err := shell.Exec(trade(ids)); err != nil {
			return fmt.Errorf("change the shop: %w", err)
		}
		s.Changes.Add(int64(2 * len(ids)))
	}
}

// trade is one transaction of the shop: orders for these products, at a price
// that moves a little with each.
func trade(ids []string) string {
	list := strings.Join(ids, ", ")
	return `BEGIN;
INSERT INTO orders (product_id, quantity, amount) SELECT id, 1, price FROM product WHERE id IN (` + list + `);
UPDATE product SET stock = greatest(stock - 1, 0), price = round(price * (0.95 + random() / 10)::numeric, 2) + 0.01, updated_at = now()
WHERE id IN (` + list + `);
COMMIT`
}

func pick(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(1 + rand.IntN(Products))
	}
	return ids
}
