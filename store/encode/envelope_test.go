package encode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/blake2b"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/encode"
)

// What the SDK makes of a value: the body that it sends, and the ETag that it compares and sends.
func readEnvelope(t *testing.T, value []byte) (body, etag string) {
	t.Helper()
	var entry struct{ Body, ETag *string }
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&entry); err != nil || entry.Body == nil || entry.ETag == nil || dec.More() {
		t.Fatalf("%q: %v", value, err)
	}
	return *entry.Body, *entry.ETag
}

func etagOf(body []byte) string {
	h, err := blake2b.New(16, nil)
	if err != nil {
		panic(err)
	}
	h.Write(body)
	return `W/"` + hex.EncodeToString(h.Sum(nil)) + `"`
}

// The digests are Python's: hashlib.blake2b(body, digest_size=16).hexdigest(). Broken by: another digest, an escape
// that is missing or one too many, a text that is moved onto itself.
func TestEnvelopeGolden(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":42,"name":"Zoë \u2603 \/","price":1.50}`: `{"body":"{\"id\":42,\"name\":\"Zoë \\u2603 \\/\",\"price\":1.50}","etag":"W/\"5a1458dffa145ca7847d5747bfb7c3f4\""}`,
		``:              `{"body":"","etag":"W/\"cae66941d9efbd404e4d88758ea67670\""}`,
		`42`:            `{"body":"42","etag":"W/\"755345b7ef54b0d592c17e04737ab3d9\""}`,
		"[\n\t1,\r\n2]": `{"body":"[\n\t1,\r\n2]","etag":"W/\"c4563d5f0a906711b6bd0ceeebe7a2f5\""}`,
	} {
		for _, before := range []string{"", "key:1"} {
			for _, room := range []int{0, 7, 4096} {
				dst := append(make([]byte, 0, len(before)+len(body)+room), before+body...)
				got := encode.NewEnvelope().Wrap(dst, len(before))
				if string(got) != before+want {
					t.Errorf("\n got %s\nwant %s", got, before+want)
				}
			}
		}
	}
}

// Every row that there is comes back as it was made, and no other text than ours is taken for an envelope.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"a":"\u0000\ud83d\ude00\\"}`, "\x00\x1f\x7f\u2028\"\\/", `"","etag":"W/\"`,
		strings.Repeat(`"`, 100), strings.Repeat("\x01", 100), "\xff\xfe", `[{"a":1},{"a":2}]`} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, at int) {
		at = min(max(at, 0), len(body))
		value := encode.NewEnvelope().Wrap(slices.Clone(body), at)
		before, value := value[:at], value[at:]
		if !bytes.Equal(before, body[:at]) {
			t.Fatalf("what stands before it has changed: %q", before)
		}
		body = body[at:]
		if !json.Valid(value) {
			t.Fatalf("%q is no JSON", value)
		}
		text, etag := readEnvelope(t, value)
		if utf8.Valid(body) && text != string(body) {
			t.Errorf("%q came back as %q", body, text)
		}
		if want := etagOf(body); etag != want {
			t.Errorf("ETag %s, want %s", etag, want)
		}
		got, ok := encode.Unwrap(value)
		if !bytes.ContainsRune(body, 0) && (!ok || !bytes.Equal(got, body)) {
			t.Errorf("Unwrap returns %q, %v of %q", got, ok, body)
		}
		if got, ok := encode.Unwrap(body); ok { // then it is ours
			if again := encode.NewEnvelope().Wrap(slices.Clone(got), 0); !bytes.Equal(again, body) {
				t.Errorf("%q is taken for an envelope", body)
			}
		}
	})
}

// What the SDK itself writes, what has another digest, and what is cut off are not ours.
func TestUnwrapRefusesOthers(t *testing.T) {
	ours := encode.NewEnvelope().Wrap([]byte(`{"id":1}`), 0)
	if body, ok := encode.Unwrap(ours); !ok || string(body) != `{"id":1}` {
		t.Fatalf("%q, %v", body, ok)
	}
	spaced := strings.NewReplacer(`{"body":`, `{"body": `, `,"etag":`, `, "etag": `).Replace(string(ours))
	others := []string{"", "{}", `{"id":1}`, spaced, strings.Replace(string(ours), ":1", ":2", 1),
		strings.Replace(string(ours), `\"id\"`, `\u0022id\"`, 1), string(ours) + " ", " " + string(ours)}
	for n := range ours {
		others = append(others, string(ours[:n]))
	}
	for _, other := range others {
		if body, ok := encode.Unwrap([]byte(other)); ok {
			t.Errorf("%q is taken for an envelope of %q", other, body)
		}
	}
}

// enveloped encodes rows as a job of format fastapi-redis does.
type enveloped struct {
	*encode.Object
	*encode.Envelope
}

func (e enveloped) AppendRow(dst []byte, row store.Row) ([]byte, error) {
	at := len(dst)
	dst, err := e.Object.AppendRow(dst, row)
	if err != nil {
		return dst, err
	}
	return e.Wrap(dst, at), nil
}
