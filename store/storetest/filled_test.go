package storetest_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// unset are the fields of a value that are zero.
func unset(v reflect.Value, path string) (paths []string) {
	if _, isTime := v.Interface().(time.Time); v.Kind() == reflect.Struct && !isTime {
		for i := range v.NumField() {
			paths = append(paths, unset(v.Field(i), path+"."+v.Type().Field(i).Name)...)
		}
		return paths
	}
	if v.IsZero() {
		return []string{path}
	}
	return nil
}

// Broken by: a list of fields that a new one is not added to.
func TestFilledLeavesNothingOut(t *testing.T) {
	for _, v := range []any{storetest.Filled[store.Record](1), storetest.Filled[store.Record](2),
		storetest.Filled[store.Progress](1), storetest.Filled[store.RunResult](1), storetest.Filled[store.Tally](1),
		storetest.Filled[store.RefreshReport](1), storetest.Filled[store.Pending](1),
		storetest.Filled[store.Audit](1)} {
		if paths := unset(reflect.ValueOf(v), fmt.Sprintf("%T", v)); len(paths) > 0 {
			t.Errorf("not set: %s", strings.Join(paths, ", "))
		}
	}
	if reflect.DeepEqual(storetest.Filled[store.Record](1), storetest.Filled[store.Record](2)) {
		t.Error("two records are alike")
	}
}

// Two fields with one value hide that they are swapped.
func TestFilledFieldsDiffer(t *testing.T) {
	r := reflect.ValueOf(storetest.Filled[store.Record](3))
	seen := make(map[string]string)
	for i := range r.NumField() {
		if r.Field(i).Kind() == reflect.Bool {
			continue
		}
		v, name := fmt.Sprint(r.Field(i).Interface()), r.Type().Field(i).Name // slices are no keys of a map
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s are both %s", name, other, v)
		}
		seen[v] = name
	}
}

func TestFilledKinds(t *testing.T) {
	type all struct {
		A int8
		B uint64
		C float64
		D []string
		E map[string]int
		F *store.Audit
		G [][]byte
	}
	if paths := unset(reflect.ValueOf(storetest.Filled[all](1)), "all"); len(paths) > 0 {
		t.Errorf("not set: %v", paths)
	}
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, ".C is chan int") {
			t.Errorf("of a kind that it does not know, Filled says %q", said)
		}
	}()
	storetest.Filled[struct{ C chan int }](1)
}
