package testserver

import "syscall"

// sysProcAttr puts the server into its own process group, so that a Ctrl-C on
// the terminal reaches us alone and we stop it in order, and lets the kernel
// end it if we are killed.
func sysProcAttr(o *owner, death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, Credential: o.credential()}
}
