package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/embedded"
)

// helperEnv makes this test binary a process that starts a server in the folder
// of its first argument and waits to be killed.
const helperEnv = "THROUGHLINE_TEST_HELPER"

func TestMain(m *testing.M) {
	embedded.MaybeRunEngine()
	if kind := os.Getenv(helperEnv); kind != "" {
		if err := help(context.Background(), kind, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	// The tests wait for other processes and for timeouts of theirs more than
	// they work, so more of them than processors may run at once.
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	os.Exit(m.Run())
}

// help starts a server, says where it is and never returns.
func help(ctx context.Context, kind, dir string) error {
	var (
		server any
		err    error
	)
	switch kind {
	case "clickhouse":
		server, err = embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{DataDir: dir})
	case "kafka":
		server, err = embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{DataDir: dir, ShortLived: true})
	case "kfake":
		server, err = embedded.StartKfake(ctx, embedded.KfakeOptions{DataDir: dir})
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(server); err != nil {
		return err
	}
	select {}
}

// helper runs help in a process of its own and fills server with what it says.
// The returned function kills that process with SIGKILL and waits for it.
func helper(t *testing.T, kind, dir string, server any) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, dir)
	cmd.Env = append(os.Environ(), helperEnv+"="+kind)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatalf("read what the helper says: %v", err)
	}
	if err := json.Unmarshal(line, server); err != nil {
		t.Fatal(err)
	}
	return kill
}

// runsProc tells whether this system shows its processes as files.
const runsProc = runtime.GOOS == "linux"

// processes returns the ids of the processes that have dir on their command
// line, this one and its helpers excepted.
func processes(t *testing.T, dir string) []int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(found) == 0 {
		t.Skip("this system has no /proc to look at")
	}
	var pids []int
	for _, path := range found {
		args, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(args), dir+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// signalProcess sends a signal to a process that this test started.
func signalProcess(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
