package notify

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/past"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a server that notes what it gets and answers as it is told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  []string
	headers []http.Header
	answers []int // the next ones; then 204
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.headers = append(r.bodies, string(b)), append(r.headers, req.Header.Clone())
		code := http.StatusNoContent
		if len(r.answers) > 0 {
			code, r.answers = r.answers[0], r.answers[1:]
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() ([]string, []http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies), slices.Clone(r.headers)
}

// marks is Redis, which replicas share.
type marks struct {
	mu   sync.Mutex
	list map[string]bool
}

func (m *marks) Notified(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.list)), nil
}

func (m *marks) MarkNotified(_ context.Context, incident string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list[incident] {
		return false, nil
	}
	if m.list == nil {
		m.list = make(map[string]bool)
	}
	m.list[incident] = true
	return true, nil
}

func (m *marks) ForgetNotified(_ context.Context, incident string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.list, incident)
	return nil
}

func shortPauses(t *testing.T) {
	t.Helper()
	before := pauses
	pauses = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	t.Cleanup(func() { pauses = before })
}

func failedRun(id string) web.JobStatus {
	return web.JobStatus{Name: "product", LastRun: &store.Record{ID: id, State: store.StateFailed,
		End:   time.Unix(1000, 0),
		Error: "relation \"product\" does not exist"}}
}

func fine() web.JobStatus {
	return web.JobStatus{Name: "product", LastRun: &store.Record{ID: "x", State: store.StateOK}}
}

// An incident is sent once to each receiver, signed, by whichever replica; and again only after it was over.
//
// Broken by: a POST at each look; an unsigned one; a replica that does not look at the marks.
func TestAnIncidentIsSentOnce(t *testing.T) {
	shortPauses(t)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	signed, plain := newReceiver(t), newReceiver(t)
	shared := &marks{}
	replica := func() *Notifier {
		return New(Config{Marks: shared, Log: slog.New(slog.DiscardHandler), Receivers: []jobs.Notify{
			{URL: jobs.NewSecret(signed.URL), Secret: jobs.NewSecret(secret), On: jobs.Events, Format: jobs.NotifyJSON},
			{URL: jobs.NewSecret(plain.URL), On: []jobs.Event{jobs.EventCold}, Format: jobs.NotifyJSON},
		}})
	}
	a, b := replica(), replica()
	now := time.Now()
	for i, st := range []web.JobStatus{failedRun("1"), failedRun("2"), failedRun("3")} {
		a.Observe(t.Context(), []web.JobStatus{st}, now.Add(time.Duration(i)*time.Minute))
		b.Observe(t.Context(), []web.JobStatus{st}, now.Add(time.Duration(i)*time.Minute))
	}
	a.Observe(t.Context(), []web.JobStatus{fine()}, now)
	b.Observe(t.Context(), []web.JobStatus{failedRun("9")}, now)
	a.Close()
	b.Close()
	bodies, headers := signed.got()
	if len(bodies) != 2 {
		t.Fatalf("%d POSTs, want one for each time that it began to fail: %q", len(bodies), bodies)
	}
	if others, _ := plain.got(); len(others) > 0 {
		t.Errorf("a receiver got what it did not ask for: %q", others)
	}
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	for i := range bodies {
		if err := hook.Verify([]byte(bodies[i]), headers[i]); err != nil {
			t.Errorf("the signature does not fit: %v", err)
		}
	}
	var m message
	if err := json.Unmarshal([]byte(bodies[0]), &m); err != nil {
		t.Fatal(err)
	}
	if m.Type != "stoker.run_failed" || m.Data.Job != "product" ||
		!strings.Contains(m.Data.Message, "does not exist") ||
		m.Timestamp.Unix() != 1000 {
		t.Errorf("%s", bodies[0])
	}
}

// A receiver that fails gets the same message again, with the same id; one that refuses it for good does not.
//
// Broken by: a new id a try; a 410 that is tried again; an error with the token of the URL.
func TestDeliveryIsTriedAgain(t *testing.T) {
	shortPauses(t)
	for name, tt := range map[string]struct {
		answers   []int
		posts     int
		delivered bool
	}{
		"at once":          {nil, 1, true},
		"after two errors": {[]int{500, 429}, 3, true},
		"never":            {[]int{503, 503, 503, 503, 503}, 4, false},
		"refused for good": {[]int{410, 410}, 1, false},
		"a redirect":       {[]int{302, 302}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, tt.answers...)
			var log strings.Builder
			n := New(Config{Marks: &marks{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Receivers: []jobs.Notify{
				{URL: jobs.NewSecret(r.URL + "/hook?token=s3cret"), On: jobs.Events, Format: jobs.NotifyJSON}}})
			n.Observe(t.Context(), []web.JobStatus{failedRun("1")}, time.Now())
			n.wg.Wait()
			n.Close()
			bodies, headers := r.got()
			if len(bodies) != tt.posts {
				t.Errorf("%d POSTs, want %d", len(bodies), tt.posts)
			}
			for _, h := range headers {
				if id := h.Get("webhook-id"); id == "" || id != headers[0].Get("webhook-id") {
					t.Errorf("ids %q and %q", id, headers[0].Get("webhook-id"))
				}
			}
			if lost := strings.Contains(log.String(), "could not be delivered"); lost == tt.delivered ||
				lost && !strings.Contains(log.String(), "does not exist") {
				t.Errorf("the log: %s", log.String())
			}
			if strings.Contains(log.String(), "s3cret") {
				t.Errorf("the log has the token: %s", log.String())
			}
		})
	}
}

// A receiver that is away is in the log without the token of its URL.
func TestAReceiverThatIsAway(t *testing.T) {
	shortPauses(t)
	r := newReceiver(t)
	r.Close()
	var log strings.Builder
	n := New(Config{Marks: &marks{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Receivers: []jobs.Notify{
		{URL: jobs.NewSecret(r.URL + "/hook?token=s3cret"), On: jobs.Events, Format: jobs.NotifySlack}}})
	n.Observe(t.Context(), []web.JobStatus{failedRun("1")}, time.Now())
	n.wg.Wait()
	n.Close()
	if s := log.String(); !strings.Contains(s, "could not be delivered") || strings.Contains(s, "s3cret") {
		t.Errorf("the log: %s", s)
	}
}

// Broken by: one look at a sample that is cold by chance; a state that could not be read and counts as fine.
func TestDetect(t *testing.T) {
	shortPauses(t)
	now := time.Now()
	warm, cold := 0.99, 0.2
	r := newReceiver(t)
	following := false
	shared := &marks{}
	n := New(Config{Marks: shared, Log: slog.New(slog.DiscardHandler), Following: func(context.Context) (bool, error) {
		return following, nil
	}, Receivers: []jobs.Notify{{URL: jobs.NewSecret(r.URL), On: jobs.Events, Format: jobs.NotifySlack}}})
	types := func(statuses ...web.JobStatus) (list []string) {
		before, _ := r.got()
		n.Observe(t.Context(), statuses, now)
		n.wg.Wait()
		after, _ := r.got()
		for _, b := range after[len(before):] {
			text := strings.TrimPrefix(strings.TrimPrefix(b, `{"text":"stoker: `), "a: ")
			what, _, _ := strings.Cut(text, ": ")
			list = append(list, what)
		}
		slices.Sort(list)
		return list
	}
	is := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	chilly := web.JobStatus{Name: "a", Warmth: &cold, Sampled: 100}
	is("the first look", types(chilly))
	is("the second look", types(chilly), "cold", "feed lost")
	is("the third look", types(chilly))
	unread := web.JobStatus{Name: "a", Failures: []web.Failure{{Of: web.FailedStatus}}}
	is("what could not be read ends nothing", types(unread))
	is("and then it is not new", types(chilly))
	following = true
	is("warm", types(web.JobStatus{Name: "a", Warmth: &warm}))
	if list, _ := shared.Notified(t.Context()); len(list) > 0 {
		t.Errorf("marks are left: %q", list)
	}
	held := web.JobStatus{Name: "a", Warmth: &warm, LastRun: &store.Record{State: store.StateOK, Held: 7}}
	is("held", types(held), "shrink held")
	stale := web.JobStatus{Name: "a", Warmth: &warm, Audit: &past.Audit{Stale: 1, LastFind: now}}
	is("stale", types(stale), "stale found")
	n.Close()
}

// Slack reads <...> as a link or a mention.
func TestSlackText(t *testing.T) {
	b, err := body(jobs.NotifySlack, incident{Event: jobs.EventRunFailed, Job: "a", Message: "x <!channel> & y"})
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Text string }
	if err := json.Unmarshal(b, &m); err != nil || m.Text != "stoker: a: run failed: x &lt;!channel&gt; &amp; y" {
		t.Errorf("%q, %v", m.Text, err)
	}
}

// A spec that is refused is notified once, and again only after a good one; receivers that a reload has brought are
// the ones that get it.
//
// Broken by: a POST at each look; receivers of the spec that was there at the start.
func TestARefusedSpec(t *testing.T) {
	shortPauses(t)
	before, after := newReceiver(t), newReceiver(t)
	var refused *web.Failure
	n := New(Config{Marks: &marks{}, Log: slog.New(slog.DiscardHandler),
		SpecRefused: func(context.Context) *web.Failure { return refused },
		Receivers:   []jobs.Notify{{URL: jobs.NewSecret(before.URL), On: jobs.Events, Format: jobs.NotifyJSON}}})
	n.Replace([]jobs.Notify{{URL: jobs.NewSecret(after.URL), On: []jobs.Event{jobs.EventSpecRefused},
		Format: jobs.NotifyJSON}})
	for _, f := range []*web.Failure{nil, {Message: "stoker.yaml:1:2: x"}, {Message: "stoker.yaml:1:2: x"}, nil,
		{Message: "stoker.yaml:3:4: y"}} {
		refused = f
		n.Observe(t.Context(), []web.JobStatus{fine()}, time.Now())
		n.wg.Wait()
	}
	n.Close()
	bodies, _ := after.got()
	if len(bodies) != 2 || !strings.Contains(bodies[0], "stoker.spec_refused") ||
		!strings.Contains(bodies[0], "stoker.yaml:1:2: x") || !strings.Contains(bodies[1], "stoker.yaml:3:4: y") {
		t.Errorf("%q", bodies)
	}
	if list, _ := before.got(); len(list) > 0 {
		t.Errorf("a receiver that is gone got %q", list)
	}
}
