package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a (b) c) S 1 42 42 0 -1 4194304 1 2 3 4 150 25 7 8 20 0 1 0 100 200 300"
	got, err := ParseStat(line)
	if want := 1750 * time.Millisecond; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "42 (x) S 1 2", "42 (x) S 1 2 3 4 5 6 7 8 9 10 a b"} {
		if got, err := ParseStat(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  100 20 30 9000 500 4 5 6 100 0")
	if want := 1650 * time.Millisecond; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5", "cpu 1 2 3", "cpu 1 x 3 4 5 6"} {
		if got, err := parseBusy(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func TestModelName(t *testing.T) {
	if got := modelName([]byte("processor\t: 0\nmodel\t: 6\nmodel name\t: Some CPU @ 2 " +
		"GHz\n")); got != "Some CPU @ 2 GHz" {
		t.Errorf("got %q", got)
	}
	if got := modelName([]byte("processor : 0\n")); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestOurselves(t *testing.T) {
	if !Known() {
		t.Log("there is no /proc here: every figure is zero")
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		_ = make([]byte, 1000) // something to be counted
	}
	cpu, err := CPU(os.Getpid())
	if err != nil || (cpu > 0) != Known() {
		t.Errorf("CPU %s, %v", cpu, err)
	}
	peak, err := Peak(os.Getpid())
	if err != nil || (peak > 1<<20) != Known() {
		t.Errorf("peak %d, %v", peak, err)
	}
	busy, err := Busy()
	if err != nil || busy < cpu {
		t.Errorf("machine busy %s, ourselves %s, %v", busy, cpu, err)
	}
	if m := ThisMachine(); m.Cores < 1 || m.CPU == "" || m.System == "" || (m.Memory > 0) != Known() {
		t.Errorf("%+v", m)
	}
}

// A process that has ended has no figures; zero would be taken for one.
func TestAnEndedProcess(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := CPU(cmd.Process.Pid); (err != nil) != Known() {
		t.Errorf("CPU: %v", err)
	}
	if _, err := Peak(cmd.Process.Pid); (err != nil) != Known() {
		t.Errorf("peak: %v", err)
	}
}
