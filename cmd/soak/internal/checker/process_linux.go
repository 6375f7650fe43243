package checker

import "syscall"

// attributes put a process into a group of its own, so that a Ctrl-C on the
// terminal is ours to act on, and have the kernel end it if we are killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
