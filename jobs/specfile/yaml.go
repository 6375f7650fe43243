package specfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// parseYAML returns the one document of a spec file, or the problem with it.
func parseYAML(file string, data []byte) (*yaml.Node, jobs.Problems) {
	documents, err := readYAML(data)
	if err != nil {
		return nil, jobs.Problems{syntaxProblem(file, data, err)}
	}
	if len(documents) > 1 {
		return nil, jobs.Problems{{File: file, Line: documents[1].Line, Col: documents[1].Column,
			Message: "a second YAML document begins here", Hint: "a spec is one document: remove the ---"}}
	}
	if len(documents) == 0 || documents[0].Content[0].ShortTag() == "!!null" {
		return nil, jobs.Problems{{File: file, Line: 1, Col: 1, Message: "the spec is empty",
			Hint: "it needs postgres, redis and jobs"}}
	}
	return documents[0].Content[0], nil
}

// readYAML returns at most two documents: more are as wrong as two.
func readYAML(data []byte) (documents []*yaml.Node, err error) {
	defer func() { // the parser says of some panics "please report"; a spec must not end the process
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); len(documents) < 2; {
		node := new(yaml.Node)
		if err := decoder.Decode(node); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, err
		}
		documents = append(documents, node)
	}
	return documents, nil
}

// syntaxProblem says where the YAML stops being YAML.
func syntaxProblem(file string, data []byte, err error) jobs.Problem {
	message, said := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(message); m != nil {
		said, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	if strings.HasPrefix(message, "unknown anchor") { // the parser repeats the value
		message = "a value that begins with * is an alias, and it has no anchor"
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	n := min(max(brokenLine(data, lines, said), 1), len(lines))
	line := lines[n-1]
	return jobs.Problem{
		File: file, Line: n, Col: len(line) - len(bytes.TrimLeft(line, " \t")) + 1,
		Message: "not valid YAML: " + message, Hint: syntaxHint(string(line)),
	}
}

// brokenLine returns the first line from which on no beginning of the file
// parses. The parser's own line is often the one before, or where the block
// began; it is used where trying would take long.
func brokenLine(data []byte, lines [][]byte, said int) int {
	if len(data)*len(lines) > 10<<20 {
		return said
	}
	for n := len(lines) - 1; n > 0; n-- {
		data = data[:len(data)-len(lines[n])]
		if _, err := readYAML(data); err == nil {
			return n + 1
		}
	}
	return 1
}

// unquoted matches a value in the middle of a line that YAML reads as something else.
var unquoted = regexp.MustCompile(`[:,\[]\s+[*@%]`)

// syntaxHint knows the mistakes that specs invite.
func syntaxHint(line string) string {
	_, value, _ := strings.Cut(line, ": ")
	switch value = strings.TrimSpace(value); {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return "indent with spaces, not tabs"
	case strings.HasPrefix(value, "*"), strings.HasPrefix(value, "@"), strings.HasPrefix(value, "{"):
		return `put the value in quotes, as in "*/5 * * * *", "@every 30s" or "{id}"`
	case unquoted.MatchString(line):
		return `put values that begin with *, @ or % in quotes, as in "*/5 * * * *"`
	case strings.Contains(value, ": "):
		return `put the value in quotes: it holds ": "`
	}
	return ""
}
