package feed

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
)

func watching(t *testing.T, watches ...jobs.Watch) *jobs.Job {
	t.Helper()
	key, err := jobs.ParseKeyTemplate("product:{id}:{shop}")
	if err != nil {
		t.Fatal(err)
	}
	return &jobs.Job{Name: "product", Key: key, Watch: watches}
}

func image(cells map[string]string, null ...string) Image {
	return func(column string) (string, Cell) {
		if slices.Contains(null, column) {
			return "", CellNull
		}
		value, ok := cells[column]
		if !ok {
			return "", CellUnknown
		}
		return value, CellValue
	}
}

var byKey = jobs.Watch{Table: "product", Key: map[string]string{"id": "id", "shop": "shop_id"}}

// only returns the one part of an effect.
func only(t *testing.T, e *Effect) *Part {
	t.Helper()
	parts := slices.Collect(e.Parts())
	if len(parts) != 1 {
		t.Fatalf("%d parts, want 1", len(parts))
	}
	return parts[0]
}

func TestEffectFolds(t *testing.T) {
	job := watching(t, byKey)
	e := NewEffect(2)
	for range 100 {
		e.Row(job, 0, image(map[string]string{"id": "1", "shop_id": "11"}))
		e.Row(job, 0, image(map[string]string{"id": "11", "shop_id": "1"})) // not the same key
	}
	want := []jobs.Key{{"id": "1", "shop": "11"}, {"id": "11", "shop": "1"}}
	got := slices.SortedFunc(maps.Values(only(t, e).Keys),
		func(a, b jobs.Key) int { return len(a["id"]) - len(b["id"]) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEffectBecomesWhole(t *testing.T) {
	lookup := jobs.Watch{Table: "supplier", Column: "supplier_id", Keys: "SELECT 1"}
	for name, test := range map[string]struct {
		watch jobs.Watch
		do    func(*Effect, *jobs.Job)
		want  string
	}{
		"a table alone": {jobs.Watch{Table: "category"},
			func(e *Effect, j *jobs.Job) { e.Row(j, 0, image(nil)) }, "a change of table category"},
		"an unknown key": {byKey, func(e *Effect,
			j *jobs.Job) {
			e.Row(j, 0, image(map[string]string{"id": "1"}))
		}, "a change of table product that does not carry its column shop_id"},
		"an unknown lookup": {lookup, func(e *Effect, j *jobs.Job) { e.Row(j, 0, image(nil)) },
			"a change of table supplier that does not carry its column supplier_id"},
		"NULL in a key": {byKey, func(e *Effect,
			j *jobs.Job) {
			e.Row(j, 0, image(map[string]string{"id": "1"}, "shop_id"))
		}, ""},
		"too many keys":        {byKey, many("shop_id"), "changes of more than 3 keys"},
		"too many of a lookup": {lookup, many("supplier_id"), "changes of more than 3 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			job, e := watching(t, test.watch), NewEffect(3)
			test.do(e, job)
			got := ""
			for p := range e.Parts() {
				got = p.RerunReason
				if got != "" && len(p.Keys)+len(p.Lookups) > 0 {
					t.Errorf("keys beside a whole job: %+v", p)
				}
			}
			if got != test.want {
				t.Errorf("whole = %q, want %q", got, test.want)
			}
		})
	}
}

func many(column string) func(*Effect, *jobs.Job) {
	return func(e *Effect, j *jobs.Job) {
		for _, v := range []string{"1", "2", "3", "4", "5"} {
			e.Row(j, 0, image(map[string]string{"id": "1", column: v}))
		}
	}
}

// Merging is the same as adding one after the other.
func TestCommitsMerge(t *testing.T) {
	job := watching(t, byKey)
	one := func(limit int, xid uint32, shops ...string) *Commits {
		c := &Commits{Effect: NewEffect(limit), XIDs: []uint32{xid}, Rows: int64(len(shops)), Position: uint64(xid)}
		for _, s := range shops {
			c.Effect.Row(job, 0, image(map[string]string{"id": "1", "shop_id": s}))
		}
		return c
	}
	sum := one(3, 7, "a", "b")
	sum.Merge(one(3, 9, "b", "c"))
	if p := only(t, sum.Effect); len(p.Keys) != 3 || sum.Rows != 4 || sum.Position != 9 ||
		!slices.Equal(sum.XIDs, []uint32{7, 9}) {
		t.Errorf("merged: %+v of %+v", sum, p)
	}
	sum.Merge(one(3, 10, "d"))
	if p := only(t, sum.Effect); p.RerunReason == "" {
		t.Errorf("four keys with a limit of three: %+v", p)
	}
	other := &Commits{Effect: NewEffect(3)}
	other.Merge(sum)
	if p := only(t, other.Effect); p.RerunReason == "" {
		t.Error("a whole job is not whole any more")
	}
}
