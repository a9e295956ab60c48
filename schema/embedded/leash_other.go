//go:build !linux

package embedded

import "syscall"

// leashed has no death signal to ask for outside Linux: there a program ends
// with the parent, but not with a supervisor that is killed on its own.
func leashed() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
