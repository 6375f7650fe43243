// Package render turns the rows of a query into entries, and entries into batches.
// It knows nothing of runs and refreshes, and writes nothing itself.
//
//	rows ──► Renderer ──► Send ──► Pipeline.full ──► 2 writers ──► Write (a put, or a comparison)
//	         key, value,  ▲                             │
//	         batch        └──────── Pipeline.free ◄─────┘  (batches are used again)
//
// Renderer (render.go, keys.go, values.go, group.go) is used by one goroutine and
// allocates nothing for a row: it appends keys and values to the buffer of its batch.
// A full batch goes to Send, which returns an empty one. Pipeline (pipeline.go) is the
// Send of a run: it has a fixed number of batches, so that a slow Redis stops the
// reader, and bounds the bytes in flight.
package render
