package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/past"
	"github.com/stokerhq/stoker/web/wording"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"asset": asset, "link": func(to string) string { return to }, "count": wording.Count,
	"noun": wording.Noun, "quantity": wording.Quantity, "size": wording.Size, "utc": wording.UTC,
	"clock": wording.Clock, "ago": wording.Ago,
}).ParseFS(templateFiles, "templates/*.html"))

// newPages returns the templates with links as a browser follows them.
func newPages(link func(string) string) (*template.Template, error) {
	pages, err := templates.Clone()
	if err != nil {
		return nil, err
	}
	based := func(name string) (string, error) {
		at, err := asset(name)
		return link(at), err
	}
	return pages.Funcs(template.FuncMap{"link": link, "asset": based}), nil
}

// pageRuns is how many runs the page of a job shows.
const pageRuns = 50

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	statuses, err := s.status.get(r.Context())
	if err != nil {
		s.refuse(w, r, http.StatusServiceUnavailable, "the status was not read in time: reload the page")
		return
	}
	view := statusView{frame: s.frame(), Notice: s.notice(r), Reads: s.reads(r.Context())}
	for _, st := range statuses {
		st, view.Common = st.once()
		view.Jobs = append(view.Jobs, jobView{st, view.Now})
	}
	// 200 also when Redis is down: the page works and says so. Proxies like to
	// replace the body of a 503 with their own.
	s.render(w, http.StatusOK, "status.html", view)
}

func (s *Server) jobPage(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}
	detail, err := s.detail(r.Context(), job, pageRuns)
	if err != nil {
		s.refuse(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	view := jobPageView{frame: s.frame(), Notice: s.notice(r), Base: s.baseURL(r)}
	view.Job = jobView{detail.JobStatus, view.Now}
	view.Column, view.Arg = exampleKey(job)
	for _, run := range detail.Runs {
		view.Runs = append(view.Runs, past.Run{Record: run, Now: view.Now})
	}
	s.render(w, http.StatusOK, "job.html", view)
}

// warmForm is the button: it enqueues a run and sends the browser back to the
// page that it was pressed on, so that a reload does not press it again.
func (s *Server) warmForm(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	back := "/"
	if r.PostFormValue("from") == "job" {
		back = "/jobs/" + url.PathEscape(job.Name)
	}
	if _, err := s.enqueue(r, jobs.NewRun(job.Name, jobs.CauseAPI), job.Name); err != nil {
		status := http.StatusServiceUnavailable
		if refusedWrites(err) {
			status = http.StatusBadGateway
		}
		s.refuse(w, r, status, store.WithRemedy(err).Error())
		return
	}
	http.Redirect(w, r, back+"?asked="+url.QueryEscape(job.Name), http.StatusSeeOther)
}

// notice words what warmForm did. Only a job's name comes from the address, so
// that a crafted link cannot put words on the page.
func (s *Server) notice(r *http.Request) string {
	job, ok := s.cfg.Spec.Job(r.URL.Query().Get("asked"))
	if !ok {
		return ""
	}
	return "A run of " + job.Name + " is on the queue. It shows below as soon as a worker takes it."
}

func (s *Server) frame() frame {
	return frame{
		Now: time.Now().UTC(), Version: s.cfg.Version,
		Queues: s.dashboard != nil, Metrics: s.cfg.Gatherer != nil, Logout: s.auth != nil,
	}
}

// exampleKey is a key of job with made-up values, as JSON and as an argument.
func exampleKey(job *jobs.Job) (object, arg string) {
	key := map[string]string{}
	var args []string
	for _, column := range job.Key.Columns() {
		key[column] = "1"
		args = append(args, column+"=1")
	}
	text, _ := json.Marshal(key) // strings cannot fail
	return string(text), strings.Join(args, ",")
}

// render executes a template into memory first: a page is sent whole or not at all.
func (s *Server) render(w http.ResponseWriter, status int, name string, view any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, view); err != nil {
		s.log.Error("page was not rendered", "page", name, "err", err)
		answerText(w, http.StatusInternalServerError, "the page could not be rendered, see the log")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.WriteTo(w)
}

// asset is the address of a static file. The hash in it changes with the
// content, so that the file itself can be cached for good.
func asset(name string) (string, error) {
	text, err := fs.ReadFile(staticFiles, "static/"+name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return "/static/" + name + "?v=" + hex.EncodeToString(sum[:4]), nil
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, err := fs.ReadFile(staticFiles, path.Join("static", path.Base(name)))
	if err != nil {
		s.refuse(w, r, http.StatusNotFound, "there is no file "+name)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(text)
}
