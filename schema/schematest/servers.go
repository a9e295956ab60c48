package schematest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/throughline/throughline/schema/embedded"
)

const (
	kindEnv     = "SERVERS"
	requiredEnv = "INTEGRATION"

	kindEmbedded = "embedded" // kfake and the ClickHouse engine
	kindNative   = "native"   // Apache Kafka and the ClickHouse engine
	kindDocker   = "docker"   // Apache Kafka and ClickHouse, both in containers
)

// servers are what this test binary has started. It is the one piece of state
// that outlives a test, because a server that starts for each would make the
// suite ten times as long.
type servers struct {
	mu      sync.Mutex
	dir     string
	closers []io.Closer

	kind       once[string]
	docker     once[*docker]
	kafka      once[[]string]
	apache     once[[]string]
	clickHouse once[DB]
}

// shared is reached by every test of the binary; TestMain has no other way to
// hand something to a test.
var shared servers

// once is a value that is made on first use, with the error of making it.
type once[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (o *once[T]) get(start func() (T, error)) (T, error) {
	o.once.Do(func() { o.value, o.err = start() })
	return o.value, o.err
}

// Main is the whole of a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }
//
// It runs the tests and ends the servers that they started. Where the binary
// is killed instead, its servers end by themselves; only their folder is left.
func Main(m *testing.M) int {
	embedded.MaybeRunEngine()
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "schematest: end servers:", err)
		code = max(code, 1)
	}
	return code
}

func (s *servers) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, closer := range slices.Backward(s.closers) {
		err = errors.Join(err, closer.Close())
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// keep has a server closed at the end.
func (s *servers) keep(closer io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closer)
}

// folder returns a data folder that is removed at the end.
func (s *servers) folder(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "throughline-test-")
		if err != nil {
			return "", fmt.Errorf("create folder for servers: %w", err)
		}
		s.dir = dir
	}
	return filepath.Join(s.dir, name), nil
}

// kind is what SERVERS says, or else the best that the machine allows.
func kind(ctx context.Context) (string, error) {
	return shared.kind.get(func() (string, error) {
		switch forced := os.Getenv(kindEnv); forced {
		case kindEmbedded, kindNative, kindDocker:
			return forced, nil
		case "":
			return bestKind(ctx), nil
		default:
			return "", fmt.Errorf("%s=%s is not known: use %s, %s or %s", kindEnv, forced, kindEmbedded, kindNative, kindDocker)
		}
	})
}

func bestKind(ctx context.Context) string {
	if _, err := theDocker(ctx); err == nil {
		return kindDocker
	}
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return kindEmbedded
		}
	}
	return kindNative
}

// missing ends a test whose server did not start. One that cannot be had skips
// the test, with the reason, unless the surroundings promise it; one that is
// here and broken is a failure everywhere.
func missing(tb testing.TB, server string, err error) {
	tb.Helper()
	absent := errors.Is(err, embedded.ErrNoEngine) || errors.Is(err, embedded.ErrNoKafka) || errors.Is(err, errNoDocker)
	switch {
	case !absent:
		tb.Fatalf("start %s: %v", server, err)
	case os.Getenv(requiredEnv) == "required":
		tb.Fatalf("%s is required (%s=required) and not there: %v", server, requiredEnv, err)
	default:
		tb.Skipf("%s is not there: %v", server, err)
	}
}

// background is the context of what outlives the test that asked first.
func background(tb testing.TB) context.Context {
	tb.Helper()
	return context.WithoutCancel(tb.Context())
}
