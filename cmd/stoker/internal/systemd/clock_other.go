//go:build !linux

package systemd

// monotonicMicros: there is no systemd here.
func monotonicMicros() int64 { return 0 }
