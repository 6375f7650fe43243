package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every way a program may print a value must hide a secret, also one that is an
// unexported field, for which fmt calls no method.
func TestSecretCannotBePrinted(t *testing.T) {
	secret := NewSecret("hunter2")
	type Exported struct{ URL Secret }
	type unexported struct{ url Secret }
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10s", "%t"} {
		printed["secret "+verb] = fmt.Sprintf(verb, secret)
		printed["pointer "+verb] = fmt.Sprintf(verb, &secret)
		printed["field "+verb] = fmt.Sprintf(verb, Exported{secret})
		printed["unexported "+verb] = fmt.Sprintf(verb, unexported{secret})
		printed["list "+verb] = fmt.Sprintf(verb, []any{secret, &unexported{secret}})
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", secret, "b", Exported{secret}, "c", unexported{secret})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "a", secret, "b", Exported{secret}, "c", unexported{secret})
	printed["slog"] = log.String()
	asJSON, err := json.Marshal(map[string]any{"a": secret, "b": Exported{secret}, "c": map[Secret]int{secret: 1}})
	if err != nil {
		t.Fatal(err)
	}
	printed["json"] = string(asJSON)
	asYAML, err := yaml.Marshal(Exported{secret})
	if err != nil {
		t.Fatal(err)
	}
	printed["yaml"] = string(asYAML)
	for how, text := range printed {
		for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
			if strings.Contains(text, leak) {
				t.Errorf("%s prints %q", how, text)
			}
		}
	}
	for _, how := range []string{"secret %v", "secret %#v", "secret %d"} {
		if printed[how] != "[secret]" {
			t.Errorf("%s prints %q", how, printed[how])
		}
	}
	if secret.Reveal() != "hunter2" {
		t.Errorf("Reveal = %q", secret.Reveal())
	}
}

func TestEmptySecret(t *testing.T) {
	var zero Secret
	if zero != NewSecret("") || !zero.IsZero() || zero.Reveal() != "" || zero.String() != "" || zero.Redacted() != "" {
		t.Error("the empty secret is not empty")
	}
	if data, err := json.Marshal(zero); err != nil || string(data) != `""` {
		t.Errorf("json = %s, %v", data, err)
	}
}

func TestSecretsCompare(t *testing.T) {
	if NewSecret("a"+strings.Repeat("b", 3)) != NewSecret("abbb") || NewSecret("a") == NewSecret("b") {
		t.Error("== does not compare the strings")
	}
	if !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(NewSecret("b")) {
		t.Error("Equal does not compare the strings")
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://app:hunter2@db:5432/shop?sslmode=require":     "postgres://app:***@db:5432/shop?sslmode=require",
		"postgres://app@db/shop":                                  "postgres://app@db/shop",
		"postgres://db/shop?password=hunter2&user=app":            "postgres://db/shop?user=app",
		"postgres://a:hunter2@h1:1,h2:2/x":                        "postgres://a:***@h1:1,h2:2/x",
		"postgres://db/x?sslpassword=hunter2&SSLPASSWORD=hunter2": "postgres://db/x",
		"redis://:hunter2@cache:6379/0":                           "redis://:***@cache:6379/0",
		"redis://hunter2@cache":                                   "redis://***@cache",
		"redis://u:p%40hunter2@cache?sentinel_password=hunter2":   "redis://u:***@cache",
		"unix://u:hunter2@/run/redis.sock?db=1":                   "unix://u:***@/run/redis.sock?db=1",
		"host=db password=hunter2":                                "[secret]",
		"redis://:hunter2%zz@cache":                               "[secret]",
		"hunter2":                                                 "[secret]",
		"mailto:hunter2":                                          "[secret]",
		"redis://cache:6379/0#hunter2":                            "redis://cache:6379/0",
	} {
		if got := NewSecret(in).Redacted(); got != want {
			t.Errorf("Redacted of %s = %s, want %s", in, got, want)
		}
	}
}
