//go:build unix && !linux

package testserver

import "syscall"

// sysProcAttr puts the server into its own process group, so that a Ctrl-C on
// the terminal reaches us alone and we stop it in order.
func sysProcAttr(o *owner, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: o.credential()}
}
