package specfile

import (
	"fmt"
	"net/url"
	"slices"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// notifications reads the receivers.
func (d *decoder) notifications(n *yaml.Node, s *jobs.Spec) {
	items, _ := d.list("notify", n)
	for _, item := range items {
		r := jobs.Notify{Format: jobs.NotifyJSON}
		given := d.fields(item, "notify entry", map[string]setter{
			"url":    required(d, &r.URL, parseReceiver),
			"secret": optional(d, &r.Secret, parseSigningSecret),
			"on":     func(_ string, n *yaml.Node) { r.On = d.events(n) },
			"format": required(d, &r.Format, parseNotifyFormat),
		})
		d.demand(item, given, "notify entry", "url", "add url: https://...")
		if given["on"] == nil {
			r.On = jobs.Events
		}
		s.Notify = append(s.Notify, r)
	}
}

func (d *decoder) events(n *yaml.Node) (list []jobs.Event) {
	items, ok := d.list("on", n)
	for _, item := range items {
		var e jobs.Event
		required(d, &e, func(s string) (jobs.Event, error) { return oneOf(s, jobs.Events...) })("on", item)
		if e != "" && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	if ok && len(items) == 0 {
		d.problem(n, "name events, or remove on: all of them are sent", "on is empty")
	}
	return list
}

func parseNotifyFormat(s string) (jobs.NotifyFormat, error) {
	return oneOf(s, jobs.NotifyJSON, jobs.NotifySlack)
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
