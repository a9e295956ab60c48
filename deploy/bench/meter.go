package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// meter adds up what processes have used since it was made.
type meter struct {
	pids   []int
	before time.Duration
}

func newMeter(pids ...int) (meter, error) {
	m := meter{pids: pids}
	used, err := m.used()
	m.before = used
	return m, err
}

func (m meter) used() (time.Duration, error) {
	sum := -m.before
	for _, pid := range m.pids {
		used, err := processorTimeOf(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// usedBy is what some processes have used since they started, under one name.
func usedBy(name string, pids ...int) (Used, error) {
	u := Used{Process: name}
	for _, pid := range pids {
		used, err := processorTimeOf(pid)
		if err != nil {
			return u, err
		}
		_, peak, err := residentMemoryOf(strconv.Itoa(pid))
		if err != nil {
			return u, err
		}
		u.CPU += used
		u.Resident += peak
	}
	return u, nil
}

// brokerPids are the processes of the brokers that this run started: those whose command line names their folder. There are
// none where the brokers are somebody else's, or a part of this process.
func (b *bench) brokerPids() ([]int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	folder := []byte(filepath.Join(b.dir, "kafka"))
	var pids []int
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err != nil || !bytes.Contains(text, folder) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(line)))
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		// One that has used nothing only waits for another.
		if _, err := processorTimeOf(pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
