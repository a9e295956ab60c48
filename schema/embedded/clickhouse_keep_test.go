package embedded_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/embedded"
)

func TestClickHouseServesOnAfterClientsThatItRefuses(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Skip("this system has no terminals to give to the engine")
	}
	dir := t.TempDir()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
	conn := open(t, server.Addr, server.User, server.Password)
	exec1(t, conn, "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, conn, "INSERT INTO kept SELECT number FROM numbers(10)")
	pid := server.Pid()

	for range 3 {
		for what, row := range map[string]struct {
			auth clickhouse.Auth
			want int32
		}{
			"a wrong password":    {clickhouse.Auth{Username: server.User, Password: "a guess"}, authFailedCode},
			"an unknown user":     {clickhouse.Auth{Username: "nobody", Password: "a guess"}, authFailedCode},
			"an unknown database": {clickhouse.Auth{Username: server.User, Password: server.Password, Database: "nowhere"}, noDatabaseCode},
		} {
			stranger, err := clickhouse.Open(&clickhouse.Options{Addr: []string{server.Addr}, Auth: row.auth})
			if err != nil {
				t.Fatal(err)
			}
			if err := stranger.Ping(t.Context()); code(t, err) != row.want {
				t.Errorf("%s: %v, want code %d", what, err, row.want)
			}
			_ = stranger.Close()
		}
		// Another protocol, a packet of an unknown kind, and a greeting that
		// promises a name of 2^63 bytes.
		for _, hello := range []string{"GET / HTTP/1.1\r\n\r\n", "\x63\xff\xff", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"} {
			sendHello(t, server.Addr, hello)
		}
		fresh := open(t, server.Addr, server.User, server.Password)
		if got := ask(t, fresh, "SELECT toString(count()) FROM kept"); got != "10" {
			t.Errorf("%s rows, want 10", got)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "server.log"))
	if err != nil || strings.Contains(string(log), "<Fatal>") {
		t.Errorf("the engine is about to die: %v\n%s", err, log)
	}
	if server.Pid() != pid {
		t.Error("the engine died of a client that it refused")
	}
}

// sendHello sends what a client says first and waits until the server hangs up.
func sendHello(t *testing.T, addr, hello string) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(hello)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for answer := make([]byte, 512); err == nil; {
		_, err = conn.Read(answer)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the server does not hang up on %q", hello)
	}
}

func TestClickHouseComesBackWithItsDataWhenItsEngineDies(t *testing.T) {
	t.Parallel()
	log := &lines{}
	server := startClickHouse(t, embedded.ClickHouseOptions{
		DataDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	// One client for all lives of the server: it reconnects by itself.
	conn := open(t, server.Addr, server.User, server.Password)
	reader := open(t, server.Addr, server.ReadUser, server.ReadPassword)
	exec1(t, conn, "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
	for i, row := range []struct {
		sig  syscall.Signal
		exit string
	}{
		{syscall.SIGKILL, "signal: killed"},
		{syscall.SIGABRT, "signal: aborted"}, // what an uncaught exception ends in
		{syscall.SIGKILL, "signal: killed"},
	} {
		exec1(t, conn, "INSERT INTO kept VALUES ("+strconv.Itoa(i)+")")
		old := server.Pid()
		signalProcess(t, old, row.sig)
		var count string
		eventually(t, "another engine serves", func() bool {
			err := reader.QueryRow(t.Context(), "SELECT toString(count()) FROM kept").Scan(&count)
			return err == nil && server.Pid() != old
		})
		if want := strconv.Itoa(i + 1); count != want {
			t.Errorf("%s rows after death %d, want %s", count, i+1, want)
		}
		eventually(t, "the writer is connected again", func() bool { return conn.Ping(t.Context()) == nil })
		if _, err := os.Stat("/proc/" + strconv.Itoa(old)); runsProc && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("process %d is still there, if only as a zombie", old)
		}
		want := `level=WARN msg="clickhouse died, starting it again" exit="` + row.exit + `" pid=` + strconv.Itoa(old) + " "
		if !strings.Contains(log.String(), want) {
			t.Errorf("no warning %s in\n%s", want, log.String())
		}
	}
	if err := server.Err(); err != nil {
		t.Errorf("a server that came back says %v", err)
	}
}

func TestClickHouseThatDiesOverAndOverEndsWithTheReason(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
	config := filepath.Join(dir, "run", "config.xml")
	if err := os.WriteFile(config, []byte("<clickhouse><broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	signalProcess(t, server.Pid(), syscall.SIGKILL)
	select {
	case <-server.Done():
	case <-time.After(time.Minute):
		t.Fatal("still trying after a minute")
	}
	for _, want := range []string{"died 6 times within ", "exit status", "config.xml"} {
		if err := server.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("end is %v, want that it says %q", err, want)
		}
	}
	if left := processes(t, dir); len(left) != 0 {
		t.Errorf("processes left: %v", left)
	}
	// The folder is free, before Close as well as after it.
	startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
}

func TestClickHouseEndsWhereItIsClosedWhileItComesBack(t *testing.T) {
	t.Parallel()
	for name, until := range map[string]func(t *testing.T, server *embedded.ClickHouse, old int){
		"at its death": func(*testing.T, *embedded.ClickHouse, int) {},
		"in the pause": func(t *testing.T, _ *embedded.ClickHouse, old int) {
			t.Helper()
			eventually(t, "the dead engine is reaped", func() bool { return syscall.Kill(old, 0) != nil })
		},
		"before it serves": func(t *testing.T, server *embedded.ClickHouse, old int) {
			t.Helper()
			eventually(t, "another engine is there", func() bool { return server.Pid() != old })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: dir})
			old := server.Pid()
			signalProcess(t, old, syscall.SIGKILL)
			until(t, server, old)
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			<-server.Done()
			if left := processes(t, dir); len(left) != 0 {
				t.Errorf("processes left: %v", left)
			}
		})
	}
}

func TestClickHouseThatCameBackEndsWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	needEngine(t)
	dir := t.TempDir()
	var server embedded.ClickHouse
	kill := helper(t, "clickhouse", dir, &server)
	old := processes(t, dir)
	if len(old) != 1 {
		t.Fatalf("processes of the server: %v, want one", old)
	}
	signalProcess(t, old[0], syscall.SIGKILL)
	eventually(t, "another engine is there", func() bool {
		now := processes(t, dir)
		return len(now) == 1 && now[0] != old[0]
	})
	kill()
	eventually(t, "no process is left", func() bool { return len(processes(t, dir)) == 0 })
}
