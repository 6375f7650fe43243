package checker

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// change is what a transaction does to one row.
type change struct {
	row  *row
	ver  int64
	gone bool
}

// txAction is what a transaction does: statements, and what they change. Rows are
// taken first; versions come from ver, which makes poison of what is to be rolled
// back.
type txAction struct {
	rows []*row
	do   func(ver func(*row) int64) (sql []string, changes []change)
}

// deeds choose the rows that they change; each is done in all kinds of transactions.
var deeds = []struct {
	weight int
	choose func(h *history, rnd *rand.Rand) txAction
}{
	{32, setItems}, {8, deleteItem}, {16, transfer}, {16, move}, {4, setSupplier}, {4, setFlag}, {4, truncateFlags},
	{1, truncateItems},
}

func choose(h *history, rnd *rand.Rand) txAction {
	sum := 0
	for _, d := range deeds {
		sum += d.weight
	}
	n := rnd.IntN(sum)
	for _, d := range deeds {
		if n -= d.weight; n < 0 {
			return d.choose(h, rnd)
		}
	}
	panic("the weights are their sum")
}

func (h *history) pick(table string, rnd *rand.Rand) *row {
	return h.rows[table][rnd.IntN(len(h.rows[table]))]
}

// setItems changes some items, or inserts those that were deleted.
func setItems(h *history, rnd *rand.Rand) txAction {
	first, n := rnd.IntN(len(h.rows["item"])-3), 1+rnd.IntN(3)
	return setting(h.rows["item"][first:first+n], func(r *row, ver int64) string {
		return fmt.Sprintf("INSERT INTO item VALUES (%d, %d, %d) ON CONFLICT (id) DO UPDATE SET v = excluded.v", r.id,
			r.id%sizes["supplier"]+1, ver)
	})
}

// setting is a deed of one statement a row.
func setting(rows []*row, sql func(*row, int64) string) txAction {
	return txAction{rows, func(ver func(*row) int64) (all []string, changes []change) {
		for _, r := range rows {
			v := ver(r)
			all, changes = append(all, sql(r, v)), append(changes, change{row: r, ver: v})
		}
		return all, changes
	}}
}

func deleteItem(h *history, rnd *rand.Rand) txAction {
	r := h.pick("item", rnd)
	return txAction{[]*row{r}, func(ver func(*row) int64) ([]string, []change) {
		return []string{fmt.Sprintf("DELETE FROM item WHERE id = %d", r.id)},
			[]change{{row: r, ver: ver(r), gone: true}}
	}}
}

// transfer moves money between two accounts of one org: every snapshot shows the
// same sum.
func transfer(h *history, rnd *rand.Rand) txAction {
	first := rnd.IntN(orgs)*accountsPer + rnd.IntN(accountsPer-1)
	amount := 1 + rnd.IntN(9)
	return setting(h.rows["account"][first:first+2], func(r *row, ver int64) string {
		amount = -amount
		return fmt.Sprintf("UPDATE account SET balance = balance + %d, v = %d WHERE id = %d", amount, ver, r.id)
	})
}

// move brings a member to another org: two keys change.
func move(h *history, rnd *rand.Rand) txAction {
	org := 1 + rnd.IntN(orgs)
	return setting([]*row{h.pick("member", rnd)}, func(r *row, ver int64) string {
		return fmt.Sprintf("UPDATE member SET org = %d, v = %d WHERE id = %d", org, ver, r.id)
	})
}

func setSupplier(h *history, rnd *rand.Rand) txAction {
	return setting([]*row{h.pick("supplier", rnd)}, func(r *row, ver int64) string {
		return fmt.Sprintf("UPDATE supplier SET v = %d WHERE id = %d", ver, r.id)
	})
}

func setFlag(h *history, rnd *rand.Rand) txAction {
	return setting([]*row{h.pick("flag", rnd)}, func(r *row, ver int64) string {
		return fmt.Sprintf("UPDATE flag SET v = %d WHERE id = %d", ver, r.id)
	})
}

// truncateItems deletes all of them, and no fence reports it: what was inserted since
// the last run must go, too.
func truncateItems(h *history, _ *rand.Rand) txAction {
	rows := h.rows["item"]
	return txAction{rows, func(ver func(*row) int64) (sql []string, changes []change) {
		for _, r := range rows {
			changes = append(changes, change{row: r, ver: ver(r), gone: true})
		}
		return []string{"TRUNCATE item"}, changes
	}}
}

// truncateFlags empties the table and fills it again.
func truncateFlags(h *history, _ *rand.Rand) txAction {
	rows := h.rows["flag"]
	return txAction{rows, func(ver func(*row) int64) ([]string, []change) {
		var values []string
		var changes []change
		for _, r := range rows {
			v := ver(r)
			values, changes = append(values, fmt.Sprintf("(%d, %d)", r.id, v)), append(changes, change{row: r, ver: v})
		}
		return []string{"TRUNCATE flag", "INSERT INTO flag VALUES " + strings.Join(values, ", ")}, changes
	}}
}
