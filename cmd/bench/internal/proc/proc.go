// Package proc reads what the kernel says of processes and of the machine under
// /proc. Where there is no /proc, every figure is zero: not known.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: Linux shows a hundredth of a second
// (USER_HZ) to programs on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// Known reports whether this system has a /proc to read.
func Known() bool { return runtime.GOOS == "linux" }

// CPU is the processor time that a process has used, in user mode and in the
// kernel, itself and all its threads. Children are not counted.
func CPU(pid int) (time.Duration, error) {
	b, err := read(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || b == nil {
		return 0, err
	}
	return ParseStat(string(b))
}

// Positions in /proc/PID/stat after the program's name, which is in parentheses
// and may hold anything.
const (
	statUser   = 11
	statSystem = 12
)

// ParseStat returns the CPU time in a line of /proc/PID/stat.
func ParseStat(line string) (time.Duration, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= statSystem {
		return 0, fmt.Errorf("read a process' CPU time: %d fields in %q", len(fields), line)
	}
	user, err1 := strconv.ParseInt(fields[statUser], 10, 64)
	system, err2 := strconv.ParseInt(fields[statSystem], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read a process' CPU time in %q: %w", line, err)
	}
	return time.Duration(user+system) * tick, nil
}

// Peak is the most memory that a process has had resident, in bytes.
func Peak(pid int) (int64, error) {
	b, err := read(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || b == nil {
		return 0, err
	}
	return kilobytes(b, "VmHWM:")
}

// Busy is the processor time that the whole machine has used since it started.
func Busy() (time.Duration, error) {
	b, err := read("/proc/stat")
	if err != nil || b == nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return parseBusy(string(line))
}

// Positions in the first line of /proc/stat, after "cpu": what is not work.
const (
	busyIdle   = 3
	busyWait   = 4 // for a disk: idle too
	busyFields = 8 // the guest's times that follow are in the user's already
)

func parseBusy(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) <= busyWait || fields[0] != "cpu" {
		return 0, fmt.Errorf("read the machine's CPU time: %q", line)
	}
	var sum time.Duration
	for i, text := range fields[1:min(len(fields), busyFields+1)] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the machine's CPU time in %q: %w", line, err)
		}
		if i != busyIdle && i != busyWait {
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// kilobytes returns the value of a "name: n kB" line, in bytes.
func kilobytes(b []byte, name string) (int64, error) {
	for line := range bytes.Lines(b) {
		text, is := strings.CutPrefix(string(line), name)
		fields := strings.Fields(text)
		if !is || len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s %w", name, err)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("read %s no such line", name)
}

// read returns nil where there is no /proc at all. Elsewhere a missing file is
// an error: the process has ended.
func read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !Known() {
		return nil, nil
	}
	return b, err
}
