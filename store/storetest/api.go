package storetest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Endpoint is one query of a scripted API.
type Endpoint struct {
	Title string
	About string // what a test wants to know of it
	SQL   string
	Calls [][]string // parameters, as text
}

// ReadAPI reads a file of endpoints: blocks between empty lines. The first line of a block is "title | about", the
// others are SQL, and "with" begins a line with the parameters of a call, with " ; " in between.
func ReadAPI(t testing.TB, file string) (list []Endpoint) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		var e Endpoint
		for line := range strings.SplitSeq(block, "\n") {
			switch args, isCall := strings.CutPrefix(line, "with"); {
			case strings.HasPrefix(line, "#"):
			case isCall && args == "":
				e.Calls = append(e.Calls, nil)
			case isCall:
				e.Calls = append(e.Calls, strings.Split(strings.TrimSpace(args), " ; "))
			case e.Title == "":
				e.Title, e.About, _ = strings.Cut(line, " | ")
			default:
				e.SQL += line + "\n"
			}
		}
		e.SQL = strings.TrimSpace(e.SQL)
		list = append(list, e)
	}
	return list
}

// Drive calls each endpoint often, on a connection of its own. The connections stay open until the test is over, as
// those of a pool do.
func Drive(t testing.TB, url string, api []Endpoint, often int) {
	t.Helper()
	for _, e := range api {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		for range often {
			for _, call := range e.Calls {
				params := make([][]byte, len(call))
				for i, p := range call {
					params[i] = []byte(p)
				}
				if err := conn.PgConn().ExecParams(t.Context(), e.SQL, params, nil, nil, nil).Read().Err; err != nil {
					t.Fatalf("%s: %v", e.Title, err)
				}
			}
		}
	}
}
