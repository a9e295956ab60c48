package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

const (
	loopback = "127.0.0.1"
	// clickHouseFormat changes when a data folder of an older one can no
	// longer be read.
	clickHouseFormat = "clickhouse 1"
	// clickHouseReady covers a cold disk, from which 566 MB of library come.
	clickHouseReady = 90 * time.Second
	// portTries is how often a start picks new ports where somebody took one
	// between the picking and the listening.
	portTries = 3

	writeUser = "throughline"
	readUser  = "throughline_read"

	defaultMemory = 2 << 30
	cacheMemory   = 64 << 20
)

// ClickHouseOptions describe one server.
type ClickHouseOptions struct {
	// DataDir keeps the data. Required.
	DataDir string
	// CacheDir is where the engine is kept; see [FetchOptions].
	CacheDir string
	// Progress receives lines about a download and about waiting; may be nil.
	Progress io.Writer
	// Logger is told about starts and ends; nil means nobody.
	Logger *slog.Logger
	// Port and HTTPPort on the loopback address; 0 picks a free one.
	Port, HTTPPort int
	// MemoryLimit in bytes for the whole server; 0 means 2 GiB.
	MemoryLimit int64
	// OwnerWait is how long to wait for a dying owner of DataDir; 0 means 10 s.
	OwnerWait time.Duration
	// Password is that of the user who may do everything; empty means a new one
	// with every start. Servers that ask each other need the same one.
	Password string
	// Engine uses libchdb even where a `clickhouse` binary is on the PATH.
	Engine bool
}

// ClickHouse is a running server.
type ClickHouse struct {
	// Addr is the host:port of the native protocol, HTTPAddr of the other one.
	Addr, HTTPAddr string
	// User may do everything. Both passwords are new with every start.
	User, Password string
	// ReadUser may read, within limits.
	ReadUser, ReadPassword string

	child  atomic.Pointer[child]
	owner  *os.File
	logger *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}
	// Both are set before done closes.
	err, closeErr error
}

// StartClickHouse starts a server and returns once it answers queries. The
// context bounds the start only; the server ends with Close or with this
// process. A server that dies is started again with the same addresses, users,
// passwords and data, and its clients reconnect; see [ClickHouse.Done]. Errors
// wrap [ErrNoEngine] and [ErrFolderInUse].
func StartClickHouse(ctx context.Context, opts ClickHouseOptions) (*ClickHouse, error) {
	if opts.DataDir == "" {
		return nil, errors.New("start ClickHouse: no data folder given")
	}
	dir, err := filepath.Abs(opts.DataDir)
	if err != nil {
		return nil, fmt.Errorf("resolve data folder: %w", err)
	}
	opts.DataDir = dir
	role, program, err := clickHouseProgram(ctx, opts)
	if err != nil {
		return nil, err
	}
	owner, err := claimFolder(ctx, dir, cmp.Or(opts.OwnerWait, ownerWait))
	if err != nil {
		return nil, err
	}
	server, err := opts.startOwned(ctx, role, program, owner)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	return server, nil
}

// startOwned starts a server in a folder that is claimed.
func (o ClickHouseOptions) startOwned(ctx context.Context, role string, program []string, owner *os.File) (*ClickHouse, error) {
	if err := checkFormat(o.DataDir, clickHouseFormat); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		server, err := o.start(ctx, role, program, owner)
		if err == nil {
			return server, nil
		}
		if !errors.Is(err, errPortTaken) || try == portTries || o.Port != 0 || o.HTTPPort != 0 {
			return nil, err
		}
	}
}

// clickHouseProgram decides what serves: a binary on the PATH, or else libchdb.
func clickHouseProgram(ctx context.Context, opts ClickHouseOptions) (role string, program []string, err error) {
	if !opts.Engine {
		if path, err := exec.LookPath("clickhouse"); err == nil {
			return roleSupervise, []string{path, "server"}, nil
		}
	}
	library, err := Fetch(ctx, FetchOptions{CacheDir: opts.CacheDir, Progress: opts.Progress})
	if err != nil {
		return "", nil, err
	}
	return roleEngine, []string{library}, nil
}

// start is one try, with ports of its own.
func (o ClickHouseOptions) start(ctx context.Context, role string, program []string, owner *os.File) (*ClickHouse, error) {
	ports, err := freePorts(o.Port, o.HTTPPort)
	if err != nil {
		return nil, err
	}
	run := filepath.Join(o.DataDir, "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil, fmt.Errorf("create run folder: %w", err)
	}
	files := clickHouseFiles{
		DataDir: filepath.Join(o.DataDir, "store"), Run: run,
		Host: loopback, Port: ports[0], HTTPPort: ports[1],
		Memory: cmp.Or(o.MemoryLimit, defaultMemory), UserCache: cacheMemory,
		User: writeUser, Password: cmp.Or(o.Password, rand.Text()),
		ReadUser: readUser, ReadPassword: rand.Text(),
	}
	if err := files.write(); err != nil {
		return nil, err
	}
	child, err := startChild(ctx, childSpec{
		name: "clickhouse",
		role: role,
		args: append(program, files.args(role)...),
		env: []string{
			// The server's own watchdog process would outlive the leash.
			"CLICKHOUSE_WATCHDOG_ENABLE=0",
			// The engine takes its time zone from here, a server from its configuration.
			"TZ=UTC",
		},
		dir:   o.DataDir,
		log:   filepath.Join(o.DataDir, "server.log"),
		owner: owner,
	})
	if err != nil {
		return nil, err
	}
	server := &ClickHouse{
		Addr:     net.JoinHostPort(loopback, strconv.Itoa(ports[0])),
		HTTPAddr: net.JoinHostPort(loopback, strconv.Itoa(ports[1])),
		User:     files.User, Password: files.Password,
		ReadUser: files.ReadUser, ReadPassword: files.ReadPassword,
		owner: owner, logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		done: make(chan struct{}),
	}
	server.child.Store(child)
	if err := server.awaitReady(ctx, child); err != nil {
		return nil, errors.Join(fmt.Errorf("start ClickHouse: %w", err), child.kill())
	}
	server.logger.InfoContext(ctx, "clickhouse started", "addr", server.Addr, "http_addr", server.HTTPAddr,
		"data_dir", o.DataDir, "pid", server.Pid())
	keeping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	server.cancel = cancel
	go server.keep(keeping)
	return server, nil
}

// args is the command line for the role. The engine is `clickhouse local`,
// which opens its listeners only when a query tells it to and ends with its
// last query: so the last one sleeps, a million seconds at a time.
func (f clickHouseFiles) args(role string) []string {
	config := "--config-file=" + filepath.Join(f.Run, "config.xml")
	if role == roleSupervise {
		return []string{config}
	}
	return []string{
		config,
		// The session of a terminal, which giveTerminal has ready: one that
		// draws no progress and looks up no words to complete.
		"--interactive", "--progress=off", "--progress-table=off", "--disable_suggestion",
		// The logger element of the configuration does not count here.
		"--log-level=warning",
		"--path=" + f.DataDir,
		"--listen_host=" + f.Host,
		"--tcp_port=" + strconv.Itoa(f.Port),
		"--http_port=" + strconv.Itoa(f.HTTPPort),
		// TCP comes last, because its answer is what a start waits for.
		"--query", "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; " +
			"SELECT count() FROM numbers(1000000) WHERE NOT ignore(sleepEachRow(1)) " +
			"SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_execution_time = 0",
	}
}

// awaitReady waits until the native port answers a query; see AwaitClickHouse.
func (s *ClickHouse) awaitReady(ctx context.Context, child *child) error {
	return AwaitClickHouse(ctx, s.Addr, s.User, s.Password, child.startError)
}

// AwaitClickHouse waits, up to 90 s, until the native port answers a query. The
// password is of this start, so that nobody else's server on the same port can
// be mistaken for this one. Broken is asked in between and ends the waiting
// with its error.
func AwaitClickHouse(ctx context.Context, addr, user, password string, broken func() error) error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{addr},
		Auth:        clickhouse.Auth{Username: user, Password: password},
		DialTimeout: time.Second,
	})
	if err != nil {
		return fmt.Errorf("open client: %w", err)
	}
	err = poll(ctx, clickHouseReady, func() error {
		if err := broken(); err != nil {
			return final{err}
		}
		var one uint8
		return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
	})
	return errors.Join(err, conn.Close())
}
