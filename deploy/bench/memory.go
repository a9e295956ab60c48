package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// residentMemory is what this process has in memory, now and at most so far, in bytes. It is read from the kernel's own
// account and not by getrusage, whose peak a process inherits from the one that started it.
func residentMemory() (now, peak uint64, err error) { return residentMemoryOf("self") }

// residentMemoryOf is that of another process, by its number.
func residentMemoryOf(process string) (now, peak uint64, err error) {
	text, err := os.ReadFile("/proc/" + process + "/status")
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

// processorTimeOf is what another process has used, to a hundredth of a second.
func processorTimeOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
	}
	// The name of the program stands in brackets and may hold anything; 11 fields after it come user and system time.
	_, fields, _ := strings.Cut(string(text), ") ")
	var user, system int64
	if all := strings.Fields(fields); len(all) > 13 {
		user, err = strconv.ParseInt(all[11], 10, 64)
		if err == nil {
			system, err = strconv.ParseInt(all[12], 10, 64)
		}
	}
	if err != nil || user+system == 0 {
		return 0, fmt.Errorf("the system does not say what process %d has used", pid)
	}
	const tick = 10 * time.Millisecond // Linux counts a hundred a second, whatever its own clock does
	return time.Duration(user+system) * tick, nil
}
