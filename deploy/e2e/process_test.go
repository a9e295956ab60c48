package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of what a test waits for. They are far above what is expected, because machines that test are busy.
const (
	startWithin = 90 * time.Second
	goneWithin  = 20 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// process is one run of the binary, in a process group of its own as a shell makes one.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// start runs the binary in folder dir. The environment is the test's without what would configure Throughline, so that
// a run does not depend on who runs it, and with vars, each NAME=value.
func start(t *testing.T, dir string, vars []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Getenv(binaryVar), args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "THROUGHLINE_CACHE": // where the engine is, on every machine that tests
		case strings.HasPrefix(name, "THROUGHLINE_"), strings.HasPrefix(name, "CLICKHOUSE_"), name == "KAFKA_BROKERS":
			continue
		}
		p.cmd.Env = append(p.cmd.Env, v)
	}
	// What went wrong must not drown in a line for each request.
	p.cmd.Env = append(append(p.cmd.Env, "THROUGHLINE_LOG_LEVEL=warn"), vars...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout = &lockedWriter{&p.mu, &p.stdout}
	p.cmd.Stderr = &lockedWriter{&p.mu, &p.stderr}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %v\nstdout:\n%s\nstderr:\n%s", filepath.Base(p.cmd.Path), args, p.out(), tail(p.errors()))
		}
	})
	return p
}

// out is what was printed so far.
func (p *process) out() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// errors is the log so far.
func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// wait returns the exit code, which is -1 after a signal that the process did not handle.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("did not end within %s", within)
		return 0
	}
}

// running fails the test if the process has ended.
func (p *process) running() {
	p.t.Helper()
	select {
	case <-p.done:
		p.t.Fatalf("%v ended with code %d", p.cmd.Args, p.cmd.ProcessState.ExitCode())
	default:
	}
}

// interrupt does what Ctrl-C does: the whole group is signalled, the servers too.
func (p *process) interrupt() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT) }

// kill kills the process alone, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// tree lists the process and all its descendants.
func (p *process) tree() []int {
	children := make(map[int][]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid …, and a name may hold anything.
		after := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err2 := strconv.Atoi(after[1])
		if errors.Join(err1, err2) == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// gone fails the test unless all processes end soon.
func gone(t *testing.T, pids []int) {
	t.Helper()
	eventually(t, goneWithin, "processes to end", func() error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !zombie(pid) {
				return errors.New("process " + strconv.Itoa(pid) + " is still there")
			}
		}
		return nil
	})
}

// zombie says whether a process has ended and waits for somebody to ask how. An orphan's parent is the machine's first
// process, which in a container may never ask.
func zombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	return fields[0] == "Z" || fields[0] == "X"
}

// eventually asks until there is no error, and fails the test with the last one.
func eventually(t *testing.T, within time.Duration, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", within, what, err)
		}
	}
}

// all is a running `throughline dev`.
type all struct {
	*process

	url string
	// key is empty on a later start.
	key string
	// sql is the read-only address of ClickHouse; empty where it is not embedded.
	sql string
	// commands are the lines to paste.
	commands []string
}

// The lines of the guide that tests read, as people do.
var (
	urlLine = regexp.MustCompile(`(?m)^Throughline is ready at (\S+)$`)
	keyLine = regexp.MustCompile(`(?m)^  API key     (tlk_\S+) `)
	sqlLine = regexp.MustCompile(`(?m)read-only SQL at (\S+)$`)
)

// dev starts everything in dir and waits until it says that it is ready. It listens on a free port unless vars say
// otherwise.
func dev(t *testing.T, dir string, vars ...string) *all {
	t.Helper()
	p := start(t, dir, append([]string{"THROUGHLINE_LISTEN=127.0.0.1:0"}, vars...), "dev")
	a := &all{process: p}
	eventually(t, startWithin, "dev to be ready", func() error {
		p.running()
		if out := p.out(); !urlLine.MatchString(out) || !strings.Contains(out, "\nCtrl-C stops it") {
			return errors.New("it is starting")
		}
		return nil
	})
	out := p.out()
	a.url = first(urlLine, out)
	a.key, a.sql = first(keyLine, out), first(sqlLine, out)
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "sleep ") {
			a.commands = append(a.commands, line)
		}
	}
	return a
}

func first(re *regexp.Regexp, s string) string {
	if m := re.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

// tail is the end of a log: the beginning of a long one says little about a failure.
func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

// Write implements io.Writer.
func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}
