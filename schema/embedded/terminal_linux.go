package embedded

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// giveTerminal makes standard input a new pseudo terminal and returns what
// standard input was before. Nobody types into the terminal: its other end
// stays open, unused, as long as the process lives. It does not become the
// controlling terminal, so that no signal comes from it.
func giveTerminal() (before *os.File, err error) {
	master, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	var unlock, number int32
	if err := terminalControl(master, syscall.TIOCSPTLCK, &unlock); err != nil {
		return nil, fmt.Errorf("unlock terminal: %w", err)
	}
	if err := terminalControl(master, syscall.TIOCGPTN, &number); err != nil {
		return nil, fmt.Errorf("ask for the number of the terminal: %w", err)
	}
	path := "/dev/pts/" + strconv.Itoa(int(number))
	terminal, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	input, err := syscall.Dup(syscall.Stdin)
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	if err := syscall.Dup3(terminal, syscall.Stdin, 0); err != nil {
		return nil, fmt.Errorf("replace standard input: %w", err)
	}
	return os.NewFile(uintptr(input), "leash"), nil
}

// terminalControl sets or gets a number of a terminal.
func terminalControl(fd int, request uintptr, number *int32) error {
	_, _, code := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(number))) //nolint:gosec // the kernel wants an int*
	if code != 0 {
		return code
	}
	return nil
}
