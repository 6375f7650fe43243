package proc

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is what a measurement ran on.
type Machine struct {
	CPU    string `json:"cpu"` // model name
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	System string `json:"system"`
	Load   string `json:"load"` // of the last 1, 5 and 15 minutes, before we began
}

// ThisMachine describes the machine as far as it is known.
func ThisMachine() Machine {
	m := Machine{CPU: "unknown processor", Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := modelName(b); model != "" {
			m.CPU = model
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory, _ = kilobytes(b, "MemTotal:") // not known is zero
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System = fmt.Sprintf("%s %s", m.System, bytes.TrimSpace(b))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := strings.Fields(string(b))
		m.Load = strings.Join(fields[:min(3, len(fields))], " ")
	}
	return m
}

// modelName finds the processor's name, which only some architectures tell.
func modelName(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
