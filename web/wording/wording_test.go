package wording

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 900 * time.Microsecond: "900 µs", 840 * time.Millisecond: "840 ms",
		999*time.Millisecond + 999*time.Microsecond: "999 ms", time.Second: "1 s", 2440 * time.Millisecond: "2.4 s",
		9990 * time.Millisecond: "9.9 s", 59900 * time.Millisecond: "59 s", time.Minute: "1 min",
		200 * time.Second: "3 min 20 s", 90 * time.Minute: "1 h 30 min", 24 * time.Hour: "1 d",
		51 * time.Hour: "2 d 3 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) is %q, want %q", d, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if got := Ago(now, now.Add(-2900*time.Millisecond)); got != "2 s ago" {
		t.Error(got)
	}
	if got := Ago(now, now.Add(-319*time.Second)); got != "5 min ago" {
		t.Error(got)
	}
	if got := Ago(now, now.Add(-49*time.Hour)); got != "2 d ago" {
		t.Error(got)
	}
	if got := Clock(now, now.Add(time.Hour)); got != "13:00:00 UTC" {
		t.Error(got)
	}
	if got := Clock(now, now.Add(24*time.Hour)); got != "2026-03-02 12:00 UTC" {
		t.Error(got)
	}
	if got := In(now, now.Add(2100*time.Millisecond)); got != "in 3 s" {
		t.Error(got)
	}
	if got := In(now, now.Add(5*time.Minute)); got != "in 5 min" {
		t.Error(got)
	}
	if got := UTC(now.In(time.FixedZone("X", 3600))); got != "2026-03-01 12:00:00 UTC" {
		t.Error(got)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -12345: "-12,345"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB",
		3 << 30: "3.0 GiB", 2 << 40: "2.0 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) is %q, want %q", n, got, want)
		}
	}
	if got := Rate(20140, 2400*time.Millisecond); got != "8,391" {
		t.Error(got)
	}
	if got := Rate(5, 0); got != "–" {
		t.Error(got)
	}
}
