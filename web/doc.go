// Package web is the admin listener: the status page, the API, the probes, the
// metrics and the mounted Asynq dashboard. It only looks and asks: it reads what
// runs left behind and enqueues tasks, and never touches a cached value.
//
//	GET  /                                status page; reads well without JavaScript
//	GET  /jobs/{job}                      one job and its last runs
//	POST /jobs/{job}/warm                 the page's button
//	GET  /api/v1/jobs                     what the page shows, as JSON
//	GET  /api/v1/jobs/{job}               one job with its last runs; ?runs=N
//	POST /api/v1/jobs/{job}/warm          enqueues a run
//	POST /api/v1/jobs/{job}/invalidate    enqueues an invalidation
//	POST /api/v1/invalidate               the same of every job that has the columns of a condition
//	POST /api/v1/reload                   loads the spec again
//	GET  /metrics                         Prometheus
//	GET  /livez, /readyz                  probes; open to everyone
//	GET  /warmz                           whether the cache is warm (package warmz); open to everyone
//	GET  /login, POST /login, /logout     the form, when admin.token is set
//	     /queues/                         Asynq's dashboard, read-only unless the spec says otherwise
//
// Behind a path of an ingress (base.go) all of it is below admin.base_path, too.
//
// # Who may do what
//
// A request passes four gates, in this order. Each has one file.
//
//   - The name gate (hosts.go), only without a token: the Host header must be a
//     loopback name, so that a page on the internet cannot reach the listener
//     by pointing its own name at 127.0.0.1.
//   - The origin gate (server.go): a browser's state-changing request must come
//     from our own pages.
//   - The token gate (auth.go), only with a token: a bearer or a session.
//   - The read-only gate of the dashboard (queues.go).
package web
