package logtest

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/topic"
)

// Spawn runs this test binary again as a process of its own, which finds its configuration in an environment variable and
// runs it instead of the tests.
func (l *Log) Spawn(variable string, config any) *exec.Cmd {
	l.T.Helper()
	cmd := exec.CommandContext(l.T.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+string(l.Encode(config)))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		l.T.Fatal(err)
	}
	return cmd
}

// Kill ends a process with SIGKILL.
func (l *Log) Kill(cmd *exec.Cmd) {
	l.T.Helper()
	if err := cmd.Process.Kill(); err != nil {
		l.T.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, as it should be
}

// KillAndRestart spawns processors and kills each soon after it began to write to a topic. Each second time their folder is
// removed too. It fails the test where all inputs were answered before the first kill.
func (l *Log) KillAndRestart(spawn func() *exec.Cmd, writes topic.Name, dir string, kills int) {
	l.T.Helper()
	early, before := 0, map[int32]int64{0: 0, 1: 0, 2: 0}
	for i := range kills {
		cmd := spawn()
		before = l.waitForMore(writes, before)
		<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
		l.Kill(cmd)
		if l.Answered() {
			break
		}
		early++
		if i%2 == 1 {
			if err := os.RemoveAll(dir); err != nil {
				l.T.Fatal(err)
			}
		}
	}
	if early == 0 {
		l.T.Error("every kill came after the work was done: this test proves nothing")
	}
}

// waitForMore waits until something was written to a topic, and gives the ends of its partitions.
func (l *Log) waitForMore(name topic.Name, before map[int32]int64) map[int32]int64 {
	l.T.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// The broker may be starting.
		now, err := l.Watch.EndOffsets(l.T.Context(), name)
		if err == nil && (!cmp.Equal(before, now) || l.Answered()) {
			return now
		}
		if time.Now().After(deadline) {
			l.T.Fatalf("nothing was written to %s within two minutes: %v", name, err)
		}
		<-tick.C
	}
}
