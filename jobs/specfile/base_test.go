package specfile

import (
	"strings"
	"testing"
)

// Broken by: a path that no ingress shows, or one below which Stoker could not tell its own pages.
func TestBasePath(t *testing.T) {
	for text, want := range map[string]string{
		"/stoker": "/stoker", "/stoker/": "/stoker", "/": "", "/ops/tools/stoker-1.2_~": "/ops/tools/stoker-1.2_~",
		"/Jobs": "/Jobs", "/stoker/jobs": "/stoker/jobs", "/stoker/api": "/stoker/api",

		"stoker": "begin with a slash", "https://example.com/stoker": "is a URL", "//stoker": "plain path",
		"/stoker//x": "plain path", "/a/../b": "plain path", "/a b": "plain path", "/{job}": "plain path",
		"/a%2Fb": "plain path", "/a?b": "plain path", "/a#b": "plain path", "/ä": "plain path", "/a//": "plain path",
		"/jobs": "own", "/api/": "own", "/queues/x": "own", "/login": "own", "/static": "own", "/metrics": "own",
		"/readyz": "own",
	} {
		got, err := parseBasePath(text)
		if strings.HasPrefix(want, "/") || want == "" {
			if got != want || err != nil {
				t.Errorf("%q: %q, %v", text, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
