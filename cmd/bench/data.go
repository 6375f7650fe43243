package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/testserver"
)

//go:embed data.sql
var productSQL string

// Sizes at scale 1.
const (
	productRows = 500_000
	accountRows = 1_000_000
	smallRows   = 100_000
	largeRows   = 5_000_000
)

// pgbenchRows is how many accounts pgbench makes for each unit of its own scale.
const pgbenchRows = 100_000

// dataset is one table that is measured.
type dataset struct {
	part string
	name string // of the job
	job  baseline.Job
	rows int64
}

func (b *bench) products() dataset {
	return dataset{part: report.Products, name: "product", rows: b.sized(productRows), job: baseline.Job{
		Query:  "SELECT id, sku, name, price, stock, tags, updated_at, active, attributes FROM product",
		Prefix: "product:", Column: "id",
	}}
}

// accounts come in pgbench's units, of which a part is read where the scale is
// small.
func (b *bench) accounts() dataset {
	rows := b.sized(accountRows)
	query := "SELECT aid, bid, abalance, filler FROM pgbench_accounts"
	if rows%pgbenchRows != 0 {
		query += " WHERE aid <= " + strconv.FormatInt(rows, 10)
	}
	return dataset{part: report.Accounts, name: "account", rows: rows,
		job: baseline.Job{Query: query, Prefix: "account:", Column: "aid"}}
}

// startPostgres starts a server that keeps all tables in memory and does nothing
// on its own while something is measured. Every contender reads with one backend.
// Settings are added to these.
func (b *bench) startPostgres(ctx context.Context, settings ...string) (*testserver.Postgres, error) {
	// A table over a quarter of this would be read around it.
	const fullSize, least = 1024, 128
	buffers := max(int(math.Ceil(fullSize*b.scale)), least)
	return testserver.StartPostgres(ctx, append([]string{fmt.Sprintf("shared_buffers = %dMB", buffers),
		"autovacuum = off", "max_parallel_workers_per_gather = 0", "jit = off",
		"max_wal_size = 16GB", "checkpoint_timeout = 1h", "wal_level = replica"}, settings...)...)
}

// fill makes the tables and leaves them as a database at rest has them.
func (b *bench) fill(ctx context.Context) error {
	products, accounts := b.products(), b.accounts()
	if err := b.fillProducts(products); err != nil {
		return err
	}
	b.say("data: %d accounts", accounts.rows)
	program, err := b.postgres.Program("pgbench")
	if err != nil {
		return err
	}
	units := (accounts.rows + pgbenchRows - 1) / pgbenchRows
	if _, err := b.command(ctx, ".", program, "-i", "-q", "-n", "-s", strconv.FormatInt(units, 10),
		b.postgres.URL("postgres")); err != nil {
		return err
	}
	for _, sql := range []string{"VACUUM ANALYZE product", "VACUUM ANALYZE pgbench_accounts", "CHECKPOINT"} {
		if _, err := b.sql.Exec(sql); err != nil {
			return fmt.Errorf("put the data to rest: %w", err)
		}
	}
	for _, d := range []dataset{products, accounts} {
		if err := b.describe(d); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fillProducts(d dataset) error {
	b.say("data: %d products", d.rows)
	if _, err := b.sql.Exec(strings.ReplaceAll(productSQL, ":rows", strconv.FormatInt(d.rows, 10))); err != nil {
		return fmt.Errorf("make the products: %w", err)
	}
	return nil
}

// describe says what a table's keys and values look like, and what Postgres it is
// in.
func (b *bench) describe(d dataset) error {
	version, err := b.sql.Exec("SHOW server_version")
	if err != nil {
		return fmt.Errorf("ask Postgres for its version: %w", err)
	}
	b.report.Postgres = strings.Join(version, "")
	lines, err := b.sql.Exec(fmt.Sprintf("SELECT count(*), avg(octet_length(row_to_json(q)::text)) FROM (%s) q",
		d.job.Query))
	if err != nil {
		return fmt.Errorf("look at the %s: %w", d.part, err)
	}
	if len(lines) != 1 {
		return fmt.Errorf("look at the %s: %d lines", d.part, len(lines))
	}
	rows, mean, _ := strings.Cut(lines[0], "|")
	n, err1 := strconv.ParseInt(rows, 10, 64)
	v, err2 := strconv.ParseFloat(mean, 64)
	if err := errors.Join(err1, err2); err != nil || n != d.rows {
		return fmt.Errorf("look at the %s: %q, want %d rows: %w", d.part, lines[0], d.rows, err)
	}
	b.report.Data = append(b.report.Data, report.Data{Part: d.part, Rows: n, Value: v,
		Key: d.job.Prefix + strconv.FormatInt(n, 10)})
	return nil
}
