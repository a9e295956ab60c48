package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// residentMemory is what this process has in memory, now and at most so far, in bytes. It is read from the kernel's own
// account and not by getrusage, whose peak a process inherits from the one that started it.
func residentMemory() (now, peak uint64, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, fmt.Errorf("read memory of this process: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		for name, to := range map[string]*uint64{"VmRSS:": &now, "VmHWM:": &peak} {
			if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
				if _, err := fmt.Sscanf(rest, "%d kB", to); err != nil {
					return 0, 0, fmt.Errorf("read memory of this process: %w", err)
				}
				*to <<= 10
			}
		}
	}
	if now == 0 || peak == 0 {
		return 0, 0, errors.New("the system does not say how much memory this process has")
	}
	return now, peak, nil
}

// processorTime is what this process has used.
func processorTime() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, fmt.Errorf("read processor time of this process: %w", err)
	}
	return time.Duration(self.Utime.Nano() + self.Stime.Nano()), nil
}
