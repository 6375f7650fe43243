// Package dial opens go-redis clients: of one Redis, of what Sentinels watch, and of a Cluster. Where secrets lie in
// files, or TLS is spoken, it makes each connection itself: what go-redis, Asynq and the raw connection of bulk writes
// are given is a connection that has logged in, with what the files held when it was made.
package dial
