package embedded_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/throughline/throughline/schema/embedded"
)

// startClickHouse starts the engine, or skips the test where there is none.
func startClickHouse(t *testing.T, opts embedded.ClickHouseOptions) *embedded.ClickHouse {
	t.Helper()
	opts.Progress = os.Stderr
	server, err := embedded.StartClickHouse(t.Context(), opts)
	if errors.Is(err, embedded.ErrNoEngine) && os.Getenv("INTEGRATION") != "required" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// needEngine skips the test where there is no ClickHouse, for tests that need to
// know before they start one.
func needEngine(t *testing.T) {
	t.Helper()
	_, err := embedded.Fetch(t.Context(), embedded.FetchOptions{Progress: os.Stderr})
	if _, missing := exec.LookPath("clickhouse"); missing == nil || err == nil {
		return
	}
	if errors.Is(err, embedded.ErrNoEngine) && os.Getenv("INTEGRATION") != "required" {
		t.Skip(err)
	}
	t.Fatal(err)
}

func open(t *testing.T, addr, user, password string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{addr}, Auth: clickhouse.Auth{Username: user, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func exec1(t *testing.T, conn driver.Conn, statement string) {
	t.Helper()
	if err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func ask(t *testing.T, conn driver.Conn, query string) string {
	t.Helper()
	var answer string
	if err := conn.QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func TestClickHouseEndsWithAParentThatIsKilledAndKeepsItsData(t *testing.T) {
	t.Parallel()
	needEngine(t)
	dir := t.TempDir()
	var first embedded.ClickHouse
	kill := helper(t, "clickhouse", dir, &first)
	conn := open(t, first.Addr, first.User, first.Password)
	exec1(t, conn, "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, conn, "INSERT INTO kept SELECT number FROM numbers(1000)")
	old := processes(t, dir)
	if len(old) != 1 {
		t.Fatalf("processes of the server: %v, want one", old)
	}
	kill()

	// The next start comes while the old engine may still be dying.
	second := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
	for _, pid := range processes(t, dir) {
		if pid == old[0] {
			t.Errorf("process %d outlived its parent", pid)
		}
	}
	conn = open(t, second.Addr, second.User, second.Password)
	if got := ask(t, conn, "SELECT toString(sum(n)) FROM kept"); got != "499500" {
		t.Errorf("sum after the kill is %s, want 499500", got)
	}
}

func TestClickHouseRefusesAFolderThatALivingServerOwns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
	_, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
	if !errors.Is(err, embedded.ErrFolderInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second start: %v, want that process %d uses the folder", err, os.Getpid())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
}

func TestClickHouseRefusesAFolderOfAnotherFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte("clickhouse 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{DataDir: dir})
	if errors.Is(err, embedded.ErrNoEngine) && os.Getenv("INTEGRATION") != "required" {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "clickhouse 99") {
		t.Errorf("start: %v, want a refusal of the format", err)
	}
}

func TestClickHouseServesOnAfterTheSignalsOfATerminal(t *testing.T) {
	t.Parallel()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: t.TempDir()})
	conn := open(t, server.Addr, server.User, server.Password)
	pid := server.Pid()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		signalProcess(t, pid, sig)
	}
	if got := ask(t, conn, "SELECT toString(1 + sleep(0.3))"); got != "1" {
		t.Errorf("answer is %s", got)
	}
	if server.Pid() != pid {
		t.Error("the engine died and was started again")
	}
}

func TestClickHouseSaysThatItsPortIsTaken(t *testing.T) {
	t.Parallel()
	needEngine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().(*net.TCPAddr).Port
	for what, opts := range map[string]embedded.ClickHouseOptions{
		"the native port": {DataDir: t.TempDir(), Port: taken},
		"the HTTP port":   {DataDir: t.TempDir(), HTTPPort: taken},
	} {
		_, err = embedded.StartClickHouse(t.Context(), opts)
		if err == nil || !strings.Contains(err.Error(), "port is taken") {
			t.Errorf("start where %s is taken: %v", what, err)
		}
		if left := processes(t, opts.DataDir); len(left) != 0 {
			t.Errorf("processes left where %s is taken: %v", what, left)
		}
	}
}

func TestClickHouseStartEndsWithItsContextAndLeavesNoProcess(t *testing.T) {
	t.Parallel()
	needEngine(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := embedded.StartClickHouse(ctx, embedded.ClickHouseOptions{DataDir: dir}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("start: %v, want the end of the context", err)
	}
	if left := processes(t, dir); len(left) != 0 {
		t.Errorf("processes left: %v", left)
	}
}

// TestABinaryOnThePathIsPreferred puts a program named clickhouse on the PATH
// that is the engine under another name, so that it is ClickHouse that answers.
// It owns the environment, so it is not parallel.
func TestABinaryOnThePathIsPreferred(t *testing.T) {
	needEngine(t)
	library, err := embedded.Fetch(t.Context(), embedded.FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := `#!/bin/sh
[ "$1" = server ] || exit 64
mkfifo "$PWD/leash"
THROUGHLINE_ENGINE=1 "` + self + `" "` + library + `" "$2" --log-level=warning --path="$PWD/store" \
  --query "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM numbers(1000000) FORMAT Null SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0" <"$PWD/leash" &
exec 4>"$PWD/leash"
trap 'exit 0' TERM
touch "$PWD/served-by-the-binary"
wait
`
	if err := os.WriteFile(filepath.Join(bin, "clickhouse"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("clickhouse"); err == nil {
		t.Log("a real clickhouse is on the PATH as well; the script comes before it")
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	dir := t.TempDir()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
	conn := open(t, server.Addr, server.User, server.Password)
	if got := ask(t, conn, "SELECT currentUser()"); got != server.User {
		t.Errorf("user is %s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "served-by-the-binary")); err != nil {
		t.Errorf("the binary on the PATH did not serve: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no process is left", func() bool { return len(processes(t, dir)) == 0 })
}
