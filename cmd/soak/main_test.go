package main

import (
	"bytes"
	"strings"
	"testing"
)

// Broken by: a misspelt name that is taken for nothing to do.
func TestWrongCommandLines(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"extra", "unexpected argument"},
		{"-mutants nobody", "no mutant"},
		{"-sources kafka", "no feed"},
		{"-duration soon", "duration"},
	} {
		var out, said bytes.Buffer
		if status := execute(t.Context(), strings.Fields(tt.args), &out, &said); status != exitWrong ||
			!strings.Contains(said.String(), tt.says) {
			t.Errorf("%s: %d, %s", tt.args, status, said.String())
		}
	}
}

func TestMutantsAreChosenByName(t *testing.T) {
	list, err := chosen("no nonce, no epoch")
	if err != nil || len(list) != 2 || list[1].Name != "no epoch" {
		t.Errorf("%v, %v", list, err)
	}
	all, err := chosen("all")
	if err != nil || len(all) < 7 {
		t.Errorf("%d mutants, %v", len(all), err)
	}
}
