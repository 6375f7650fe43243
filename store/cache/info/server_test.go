package info_test

import (
	"testing"

	"github.com/stokerhq/stoker/store/cache/info"
)

func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		version      string
		major, minor int
		want         bool
	}{
		{"7.0.15", 6, 2, true},
		{"7.0.15", 7, 0, true},
		{"7.0.15", 7, 1, false},
		{"6.2", 6, 2, true},
		{"6.0.16", 6, 2, false},
		{"5.9.9", 6, 2, false},
		{"10.0.0", 6, 2, true}, // as numbers, not as text
		{"6.10.1", 6, 2, true},
		{"255.255.255", 7, 4, true}, // built from source
		// A server that does not say is given the benefit of the doubt.
		{"", 7, 0, true},
		{"7", 8, 0, true},
		{"unstable", 7, 0, true},
		{"x.y.z", 7, 0, true},
		{"5.x", 7, 0, true},
	} {
		if got := (info.Server{Version: tt.version}).AtLeast(tt.major, tt.minor); got != tt.want {
			t.Errorf("%q is at least %d.%d: %v, want %v", tt.version, tt.major, tt.minor, got, tt.want)
		}
	}
}

func TestEvicts(t *testing.T) {
	for policy, want := range map[string]bool{
		"": false, "noeviction": false, "volatile-lru": false, "volatile-lfu": false, "volatile-ttl": false,
		"volatile-random": false,
		"allkeys-lru":     true, "allkeys-lfu": true, "allkeys-random": true,
	} {
		if got := (info.Server{Policy: policy}).Evicts(); got != want {
			t.Errorf("%s evicts: %v, want %v", policy, got, want)
		}
	}
}
