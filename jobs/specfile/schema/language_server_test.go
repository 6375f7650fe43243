package schema_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// languageServer is yaml-language-server, as an editor talks to it: JSON-RPC over standard input and output. It has
// no network, and is told nothing of our schema but what a modeline says.
type languageServer struct {
	t        *testing.T
	in       io.WriteCloser
	out      *bufio.Reader
	requests int
	marks    map[string][]mark // :: URI -> what the server said of it last
}

// mark is a diagnostic.
type mark struct {
	Range   struct{ Start position }
	Message string
}

type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// message is any message of the protocol.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      *int            `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// serverFolders are where deploy/dev/yaml-language-server.sh puts it, or where STOKER_YAML_LANGUAGE_SERVER says.
func serverFolders() []string {
	folders := []string{os.Getenv("STOKER_YAML_LANGUAGE_SERVER"), "/usr/local/lib/stoker-yaml-language-server"}
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "stoker-yaml-language-server"))
	}
	return folders
}

// startLanguageServer skips the test where there is none, but not in continuous integration.
func startLanguageServer(t *testing.T) *languageServer {
	t.Helper()
	script := ""
	for _, folder := range serverFolders() {
		path := filepath.Join(folder, "node_modules", "yaml-language-server", "bin", "yaml-language-server")
		if _, err := os.Stat(path); folder != "" && err == nil {
			script = path
			break
		}
	}
	node, err := exec.LookPath("node")
	if script == "" || err != nil {
		const missing = "no yaml-language-server, or no node: deploy/dev/yaml-language-server.sh installs it"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	cmd := exec.CommandContext(t.Context(), node, script, "--stdio")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &languageServer{t: t, in: in, out: bufio.NewReader(out), marks: map[string][]mark{}}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.request("initialize", map[string]any{"processId": os.Getpid(), "rootUri": nil, "capabilities": map[string]any{
		"workspace":    map[string]any{"configuration": true},
		"textDocument": map[string]any{"hover": map[string]any{"contentFormat": []string{"plaintext"}}},
	}}, nil)
	s.send(message{Method: "initialized", Params: json.RawMessage("{}")})
	return s
}

// open has the server read a text as if it stood in a file, and returns what it marks.
func (s *languageServer) open(file, text string) []mark {
	s.t.Helper()
	uri := (&url.URL{Scheme: "file", Path: file}).String()
	s.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": uri, "languageId": "yaml", "version": 1, "text": text}})
	for {
		if marks, done := s.marks[uri]; done {
			return marks
		}
		s.receive()
	}
}

// hover is what is shown of the place of an opened file.
func (s *languageServer) hover(file string, at position) string {
	s.t.Helper()
	var shown struct{ Contents struct{ Value string } }
	s.request("textDocument/hover", map[string]any{
		"textDocument": map[string]any{"uri": (&url.URL{Scheme: "file", Path: file}).String()}, "position": at}, &shown)
	return shown.Contents.Value
}

func (s *languageServer) request(method string, params, result any) {
	s.t.Helper()
	s.requests++
	id := s.requests
	s.send(message{ID: &id, Method: method, Params: s.encoded(params)})
	for {
		m := s.receive()
		if m.Method != "" || m.ID == nil || *m.ID != id {
			continue
		}
		if m.Error != nil {
			s.t.Fatalf("%s: %s", method, m.Error)
		}
		if err := json.Unmarshal(m.Result, result); result != nil && err != nil {
			s.t.Fatalf("%s: %v: %s", method, err, m.Result)
		}
		return
	}
}

func (s *languageServer) notify(method string, params any) {
	s.send(message{Method: method, Params: s.encoded(params)})
}

func (s *languageServer) encoded(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

func (s *languageServer) send(m message) {
	m.Version = "2.0"
	data := s.encoded(m)
	if _, err := fmt.Fprintf(s.in, "Content-Length: %d\r\n\r\n%s", len(data), data); err != nil {
		s.t.Fatalf("yaml-language-server: %v", err)
	}
}

// receive reads one message, answers it if it is a request, and keeps what it says of a file.
func (s *languageServer) receive() message {
	header, err := textproto.NewReader(s.out).ReadMIMEHeader()
	if err != nil {
		s.t.Fatalf("yaml-language-server has ended: %v", err)
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	data := make([]byte, length)
	_, readErr := io.ReadFull(s.out, data)
	var m message
	if err := errors.Join(err, readErr, json.Unmarshal(data, &m)); err != nil {
		s.t.Fatal(err)
	}
	switch {
	case m.Method == "workspace/configuration":
		s.send(message{ID: m.ID, Result: s.settings(m.Params)})
	case m.Method == "textDocument/publishDiagnostics":
		var said struct {
			URI         string
			Diagnostics []mark
		}
		if err := json.Unmarshal(m.Params, &said); err != nil {
			s.t.Fatal(err)
		}
		s.marks[said.URI] = said.Diagnostics
	case m.Method != "" && m.ID != nil:
		s.send(message{ID: m.ID, Result: json.RawMessage("null")})
	}
	return m
}

// settings are those of an editor as it is installed, without the store of schemas in the net.
func (s *languageServer) settings(params json.RawMessage) json.RawMessage {
	var asked struct{ Items []struct{ Section string } }
	if err := json.Unmarshal(params, &asked); err != nil {
		s.t.Fatal(err)
	}
	answers := make([]any, len(asked.Items))
	for i, item := range asked.Items {
		if item.Section == "yaml" {
			answers[i] = map[string]any{"validate": true, "hover": true, "completion": true,
				"schemaStore": map[string]any{"enable": false}}
		}
	}
	return s.encoded(answers)
}
