//go:build !noengine

package embedded

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// engineBuilt says that this build can load libchdb.
const engineBuilt = true

// RunEngine makes this process ClickHouse. The first argument is the path of
// libchdb, the rest is the command line of `clickhouse local`, whose last query
// must open the listeners and never end. It returns an exit code where the
// engine could not start, or where that query fails and there is no terminal
// (see giveTerminal). The process exits at once when standard input closes.
func RunEngine(args []string) int {
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "engine: want the path of libchdb and a command line")
		return 2
	}
	// The engine keeps thread-local state of the thread that entered it.
	runtime.LockOSThread()
	// A terminal's Ctrl-C reaches every process of the foreground group. The
	// parent still needs the engine while it drains, so the engine ends with
	// the pipe and not with a signal.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// `clickhouse local` without a terminal aborts on any exception that ends a
	// connection, and a client with a wrong password is one. With --interactive
	// and a terminal it drops that connection only, as a server does.
	leash, err := giveTerminal()
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine: a client that is refused will end it:", err)
		leash = os.Stdin
	}
	go func() {
		awaitParent(leash)
		// No orderly shutdown is needed: a part is on disk, whole, before its
		// insert is acknowledged. os.Exit runs no C destructor, which would
		// wait for the query that sleeps.
		os.Exit(0)
	}()

	library, err := purego.Dlopen(args[0], purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine: open library:", err)
		return 1
	}
	for _, name := range []string{"chdb_query_cmdline", "chdb_result_error"} {
		if _, err := purego.Dlsym(library, name); err != nil {
			fmt.Fprintln(os.Stderr, "engine: library does not export", name)
			return 1
		}
	}
	var (
		query   func(argc int32, argv **byte) uintptr
		problem func(result uintptr) string
	)
	purego.RegisterLibFunc(&query, library, "chdb_query_cmdline")
	purego.RegisterLibFunc(&problem, library, "chdb_result_error")

	argv := cStrings(append([]string{"clickhouse"}, args[1:]...))
	result := query(int32(len(argv)-1), unsafe.SliceData(argv)) //nolint:gosec // C wants a char**
	runtime.KeepAlive(argv)
	text := "no result"
	if result != 0 {
		text = problem(result)
	}
	fmt.Fprintln(os.Stderr, "engine: ended:", text)
	return 1
}

// cStrings returns an argv: zero-terminated strings and a nil at the end.
func cStrings(args []string) []*byte {
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		argv = append(argv, unsafe.SliceData(append(bytes.Clone([]byte(arg)), 0))) //nolint:gosec // C wants a char*
	}
	return append(argv, nil)
}
