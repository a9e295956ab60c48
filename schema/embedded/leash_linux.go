package embedded

import "syscall"

// leashed asks the kernel to kill the program when its supervisor dies, which
// covers a supervisor that was itself killed with SIGKILL.
func leashed() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
