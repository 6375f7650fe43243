package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stokerhq/stoker/store"
)

func TestErrorMessages(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{
			&store.QueryError{Job: "product", SQLState: "42703", Message: `column "prize" does not exist`},
			`query of job product: column "prize" does not exist (SQLSTATE 42703)`,
		},
		{
			&store.QueryError{Job: "product", SQLState: "42703", Message: `column "prize" does not exist`, Line: 2,
				Col: 8},
			`query of job product: column "prize" does not exist (SQLSTATE 42703) at line 2, column 8 of the query`,
		},
		{
			&store.QueryError{Job: "j", SQLState: "42883", Message: "m", Detail: "d", Hint: "h", Line: 1, Col: 1},
			`query of job j: m (SQLSTATE 42883) at line 1, column 1 of the query; detail: d; hint: h`,
		},
		{
			&store.QueryError{Job: "j", SQLState: "57014", Message: "m", Hint: "h"},
			`query of job j: m (SQLSTATE 57014); hint: h`,
		},
		{
			&store.KeyValueError{Job: "product", Column: "id", Type: "bigint", Value: "x\n",
				Message: "invalid input syntax"},
			`job product: value "x\n" does not fit key column id of type bigint: invalid input syntax`,
		},
		{&store.ShapeError{Job: "product", Message: "its query returns no column id"},
			"job product: its query returns no column id"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestQueryErrorUnwraps(t *testing.T) {
	if err := (&store.QueryError{Err: context.Canceled}); !errors.Is(err, context.Canceled) {
		t.Error("the driver's own error cannot be found")
	}
}

// What is permanent is not tried again: a wrong verdict is a retry storm on one
// side, and a lost run on the other.
func TestPermanent(t *testing.T) {
	state := func(code string) error { return &store.QueryError{SQLState: code} }
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, false},
		{"any error", errors.New("x"), false},
		{"no state", state(""), false},
		{"a short state", state("4"), false},
		{"feature not supported", state("0A000"), true},
		{"division by zero", state("22012"), true},
		{"wrong password", state("28P01"), true},
		{"no such database", state("3D000"), true},
		{"no such schema", state("3F000"), true},
		{"syntax error", state("42601"), true},
		{"no such table", state("42P01"), true},
		{"insufficient privilege", state("42501"), true},
		{"connection failure", state("08006"), false},
		{"read-only transaction", state("25006"), false},
		{"a query that writes", &store.QueryError{SQLState: "25006", Writes: true}, true},
		{"serialization failure", state("40001"), false},
		{"deadlock", state("40P01"), false},
		{"out of memory", state("53200"), false},
		{"too many connections", state("53300"), false},
		{"statement timeout", state("57014"), false},
		{"shutting down", state("57P01"), false},
		{"disk error", state("58030"), false},
		{"internal error", state("XX000"), false},
		{"key value", &store.KeyValueError{}, true},
		{"shape", &store.ShapeError{}, true},
		{"wrapped", fmt.Errorf("after row 7: %w", state("22012")), true},
		{"wrapped and joined", errors.Join(errors.New("x"), fmt.Errorf("y: %w", &store.ShapeError{})), true},
		{"wrapped, and passes", fmt.Errorf("after row 7: %w", state("57P01")), false},
	} {
		if got := store.Permanent(tt.err); got != tt.want {
			t.Errorf("%s: permanent %v, want %v", tt.name, got, tt.want)
		}
	}
}
