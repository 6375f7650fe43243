package trace

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// EnvError is a variable of the environment that has a wrong value.
type EnvError struct{ Name, Message string }

func (e *EnvError) Error() string { return e.Name + " " + e.Message }

// env reads variables; an empty one is taken for unset, as OpenTelemetry does.
type env func(name string) (value string, set bool)

func (e env) get(name string) string {
	value, _ := e(name)
	return strings.TrimSpace(value)
}

const otlp = "OTEL_EXPORTER_OTLP_"

// signal returns a setting of the exporter, with the name of the variable that has it: the one for traces counts more
// than the one for all signals.
func (e env) signal(setting string) (name, value string) {
	if value = e.get(otlp + "TRACES_" + setting); value != "" {
		return otlp + "TRACES_" + setting, value
	}
	return otlp + setting, e.get(otlp + setting)
}

// enabled reports whether traces are asked for.
func (e env) enabled() (bool, error) {
	switch value := strings.ToLower(e.get("OTEL_SDK_DISABLED")); value {
	case "true":
		return false, nil
	case "", "false":
	default:
		return false, &EnvError{"OTEL_SDK_DISABLED", fmt.Sprintf("is %q: give true or false", value)}
	}
	switch value := e.get("OTEL_TRACES_EXPORTER"); value {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		_, endpoint := e.signal("ENDPOINT")
		return endpoint != "", nil
	default:
		return false, &EnvError{"OTEL_TRACES_EXPORTER", fmt.Sprintf("is %q: Stoker sends traces by OTLP alone; give "+
			"otlp, or none for no traces (a collector passes them on to what reads no OTLP)", value)}
	}
}

// check returns everything that is wrong with the variables.
func (e env) check() error {
	var errs []error
	wrong := func(name, message string) {
		if message != "" {
			errs = append(errs, &EnvError{name, message})
		}
	}
	for setting, check := range map[string]func(string) string{
		"ENDPOINT": wrongEndpoint, "PROTOCOL": wrongProtocol, "HEADERS": wrongHeaders, "TIMEOUT": wrongNumber,
		"COMPRESSION": oneOf("gzip", "none"), "CERTIFICATE": wrongCertificates,
	} {
		if name, value := e.signal(setting); value != "" {
			wrong(name, check(value))
		}
	}
	wrong(e.wrongClientCertificate())
	for _, name := range []string{"OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
		"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"} {
		if value := e.get(name); value != "" {
			wrong(name, wrongNumber(value))
		}
	}
	if value := e.get("OTEL_RESOURCE_ATTRIBUTES"); value != "" {
		wrong("OTEL_RESOURCE_ATTRIBUTES", wrongPairs(value))
	}
	for part := range strings.SplitSeq(e.get("OTEL_PROPAGATORS"), ",") {
		if part = strings.TrimSpace(part); part != "" {
			wrong("OTEL_PROPAGATORS", oneOf("tracecontext", "baggage", "none")(part))
		}
	}
	if _, err := e.sampler(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(sorted(errs)...)
}

func oneOf(values ...string) func(string) string {
	return func(value string) string {
		for _, v := range values {
			if v == value {
				return ""
			}
		}
		return fmt.Sprintf("is %q: give %s", value, strings.Join(values, ", or "))
	}
}

func wrongProtocol(value string) string {
	if value == "grpc" {
		return `is "grpc", which this build does not speak: give http/protobuf, and the endpoint's port for it ` +
			"(4318 by habit, where gRPC has 4317)"
	}
	return oneOf("http/protobuf", "http/json")(value)
}

// wrongEndpoint does not repeat the value: it may have a token.
func wrongEndpoint(value string) string {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is no URL of a collector: give http://HOST:4318, or https://"
	case u.User != nil:
		return "has a user or a password, which are not sent: give them as " + otlp + "HEADERS=Authorization=..."
	case u.RawQuery != "" || u.Fragment != "":
		return "has more after its path, which is not sent: give a token as " + otlp + "HEADERS=NAME=VALUE"
	}
	return ""
}

// wrongHeaders does not repeat the value: it is mostly a secret.
func wrongHeaders(value string) string {
	if wrongPairs(value) != "" {
		return "is no list of headers: give NAME=VALUE,NAME=VALUE, with %XX for a comma, a space or a percent sign " +
			"in a value"
	}
	return ""
}

func wrongPairs(value string) string {
	for pair := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		_, err := url.PathUnescape(text)
		if err != nil || !ok || name == "" || strings.ContainsAny(name, " \t\"(),/:;<>@[]{}") {
			return "is no list of attributes: give NAME=VALUE,NAME=VALUE, with %XX for a comma or a percent sign " +
				"in a value"
		}
	}
	return ""
}

func wrongNumber(value string) string {
	if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
		return fmt.Sprintf("is %q: give a whole number (times are in milliseconds)", value)
	}
	return ""
}

func wrongCertificates(file string) string {
	pem, err := os.ReadFile(file)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Sprintf("names %s, in which there is no certificate in PEM form", file)
	}
	return ""
}

func (e env) wrongClientCertificate() (name, message string) {
	name, certificate := e.signal("CLIENT_CERTIFICATE")
	keyName, key := e.signal("CLIENT_KEY")
	switch {
	case certificate == "" && key == "":
		return name, ""
	case certificate == "" || key == "":
		return name, "and " + keyName + " go together: give both, or none"
	}
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return name, "and " + keyName + " are no pair: " + err.Error()
	}
	return name, ""
}

// sampler returns which traces are kept.
func (e env) sampler() (sdk.Sampler, error) {
	const name = "OTEL_TRACES_SAMPLER"
	kind := e.get(name)
	if kind == "" {
		kind = "parentbased_always_on"
	}
	root, based := strings.CutPrefix(kind, "parentbased_")
	var s sdk.Sampler
	switch root {
	case "always_on":
		s = sdk.AlwaysSample()
	case "always_off":
		s = sdk.NeverSample()
	case "traceidratio":
		ratio, err := e.ratio(name + "_ARG")
		if err != nil {
			return nil, err
		}
		s = sdk.TraceIDRatioBased(ratio)
	default:
		return nil, &EnvError{name, fmt.Sprintf("is %q: give always_on, always_off, traceidratio, or one of these "+
			"after parentbased_", kind)}
	}
	if based {
		s = sdk.ParentBased(linkBased{s})
	}
	return s, nil
}

func (e env) ratio(name string) (float64, error) {
	value := e.get(name)
	if value == "" {
		return 1, nil
	}
	ratio, err := strconv.ParseFloat(value, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return 0, &EnvError{name, fmt.Sprintf("is %q: give the share of traces to keep, from 0 to 1", value)}
	}
	return ratio, nil
}
