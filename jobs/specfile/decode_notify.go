package specfile

import (
	"fmt"
	"net/url"
	"slices"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

func (d *decoder) notifyFields(r *jobs.Notify) []field.Field {
	return []field.Field{
		{Name: "url", Type: field.WebURL, Missing: "add url: https://...", Example: "${ALERTS_URL}",
			Doc: "Where the POST goes; it is kept secret, as the tokens in such URLs want it.",
			Set: single(d, &r.URL, parseReceiver)},
		{Name: "secret", Type: field.SigningSecret, MayBeEmpty: true, Example: "${ALERTS_SECRET}",
			Doc: "Signs the body as Standard Webhooks say.",
			Set: single(d, &r.Secret, parseSigningSecret)},
		{Name: "secret_file", Type: field.AnyFile, Example: "/run/secrets/alerts",
			Doc: "A file that has the secret, in place of secret.",
			Set: secretFile(d, &r.Secret, parseSigningSecret)},
		{Name: "on", Type: field.ListOf(field.OneOf(jobs.Events...)).Some(), Default: "all of them", InWords: true,
			Doc: "Which events are sent.",
			Set: func(f field.Field, n *yaml.Node) { r.On = d.events(f, n) }},
		{Name: "format", Type: field.OneOf(jobs.NotifyJSON, jobs.NotifySlack), Default: "json",
			Doc: "The shape of the body: slack is {\"text\"}, which Slack, Mattermost and others show.",
			Set: choice(d, &r.Format)},
	}
}

// notifications reads the receivers.
func (d *decoder) notifications(n *yaml.Node, s *jobs.Spec) {
	items, _ := d.list("notify", n)
	for _, item := range items {
		r := jobs.Notify{Format: jobs.NotifyJSON}
		given := d.fields(item, "notify entry", d.notifyFields(&r))
		d.oneOfTwo(given, "notify entry", "secret", "secret_file")
		if given["on"] == nil {
			r.On = jobs.Events
		}
		s.Notify = append(s.Notify, r)
	}
}

func (d *decoder) events(f field.Field, n *yaml.Node) (list []jobs.Event) {
	items, ok := d.list(f.Name, n)
	for _, item := range items {
		var e jobs.Event
		choice(d, &e)(f.Item(), item)
		if e != "" && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	if ok && len(items) == 0 {
		d.problem(n, "name events, or remove on: all of them are sent", "on is empty")
	}
	return list
}

func parseReceiver(s string) (jobs.Secret, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return jobs.Secret{}, wrong("is not the URL of a web hook", "write it as https://host/path")
	}
	return jobs.NewSecret(s), nil
}

// parseSigningSecret takes whsec_ and base64, as Standard Webhooks write secrets, or any other text as it is.
func parseSigningSecret(s string) (jobs.Secret, error) {
	const prefix, shortest = "whsec_", 16
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		if _, err := standardwebhooks.NewWebhook(s); err != nil {
			return jobs.Secret{}, wrong("is not base64 after whsec_", "copy it whole, or use any other text")
		}
	} else if len(s) < shortest {
		return jobs.Secret{}, wrong(fmt.Sprintf("has fewer than %d characters", shortest), "use a longer one")
	}
	return jobs.NewSecret(s), nil
}
