package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/topic"
)

// The servers under test.
const (
	roleEdge   = "edge"
	roleBare   = "bare"
	roleDirect = "direct"
	// Of the measurement of a registry: the registry, and a bare consumer of its topics.
	roleRegistry = "registry"
	roleDrain    = "drain"
	// A linker, to measure how it starts.
	roleLink = "link"
	// Of the measurement of the projector: it, and the client library that inserts the same rows.
	roleProjector = "projector"
	roleInsert    = "insert"
	// Of the measurement of the whole: the read side, and the least that a processor can be.
	roleQuery    = "query"
	roleTransact = "transact"
)

// spec is what a server under test is told.
type spec struct {
	Role    string        `json:"role"`
	Brokers []string      `json:"brokers"`
	Prefix  string        `json:"prefix"`
	Dir     string        `json:"dir"`
	Linger  time.Duration `json:"linger"`
	Link    bool          `json:"link"`
	Log     string        `json:"log"`
	// Topics are what a bare consumer reads.
	Topics []topic.Name `json:"topics,omitempty"`
	// Store is where rows go, or come from; Block is how many of them are inserted at a time.
	Store store.Config `json:"store,omitzero"`
	Block int          `json:"block,omitzero"`
	// Outputs are topics of whose records a bare processor writes one for each that it reads; it writes that one again where
	// none are named.
	Outputs []topic.Name `json:"outputs,omitempty"`
}

// hello is what a server under test says when it listens.
type hello struct {
	// Addr is where it answers what is measured; empty for direct.
	Addr string `json:"addr"`
	// Control is where it answers questions about itself.
	Control string `json:"control"`
}

// Usage is what a process has used since it started.
type Usage struct {
	CPU        time.Duration `json:"cpu"`
	Mallocs    uint64        `json:"mallocs"`
	AllocBytes uint64        `json:"allocBytes"`
	// Resident is the most memory that the process had at once, in bytes.
	Resident uint64 `json:"resident"`
}

// Serve is one server under test, described by a spec in JSON. It ends with its standard input.
func Serve(ctx context.Context, text string, stdin io.Reader, stdout io.Writer) error {
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read spec of server: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // whatever ends it, the parent is gone
		cancel()
	}()
	// As in production: one line a request goes to stderr, which the parent keeps in a file.
	lines := run.NewLogWriter(os.Stderr)
	defer func() { _ = lines.Flush() }()
	log, err := run.NewLogger(lines, run.LogConfig{Level: s.Log, Format: "json"})
	if err != nil {
		return err
	}
	switch s.Role {
	case roleEdge:
		return serveEdge(ctx, s, log, stdout)
	case roleBare:
		return serveBare(ctx, s, log, stdout)
	case roleDirect:
		return serveDirect(ctx, s, log, stdout)
	case roleRegistry:
		return serveRegistry(ctx, s, log, stdout)
	case roleLink:
		return serveLink(ctx, s, log, stdout)
	case roleDrain:
		return serveDrain(ctx, s, log, stdout)
	case roleProjector:
		return serveProjector(ctx, s, log, stdout)
	case roleInsert:
		return serveInsert(ctx, s, log, stdout)
	case roleQuery:
		return serveQuery(ctx, s, log, stdout)
	case roleTransact:
		return serveTransact(ctx, s, log, stdout)
	case roleHooks:
		return serveHooks(ctx, s, log, stdout)
	case roleReceiver:
		return serveReceiver(ctx, s, log, stdout)
	case rolePost:
		return servePost(ctx, s, log, stdout)
	default:
		return fmt.Errorf("%q is no server to measure", s.Role)
	}
}

// listen opens the two listeners of a server and tells the parent, and returns the services that serve them. A nil
// handler has no listener.
func listen(ctx context.Context, log *slog.Logger, handler http.Handler, control *http.ServeMux, stdout io.Writer) ([]run.Service, error) {
	var h hello
	var services []run.Service
	if handler != nil {
		l, err := run.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		h.Addr = l.Addr().String()
		services = append(services, run.Server{Name: "http", Listener: l, Handler: handler, Log: log}.Service())
	}
	l, err := run.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h.Control = l.Addr().String()
	control.HandleFunc("GET /usage", answerUsage)
	control.HandleFunc("GET /profile/cpu", answerProfile)
	control.HandleFunc("GET /profile/allocs", func(w http.ResponseWriter, _ *http.Request) {
		_ = pprof.Lookup("allocs").WriteTo(w, 0) // the parent sees that it is cut off
	})
	services = append(services, run.Server{Name: "control", Listener: l, Handler: control, Log: log}.Service())
	return services, json.NewEncoder(stdout).Encode(h)
}

func answerUsage(w http.ResponseWriter, _ *http.Request) {
	used, err := processorTime()
	_, peak, memoryErr := residentMemory()
	if err := errors.Join(err, memoryErr); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	writeJSON(w, Usage{
		CPU: used, Mallocs: m.Mallocs, AllocBytes: m.TotalAlloc, Resident: peak,
	})
}

// answerProfile profiles the process for ?seconds=.
func answerProfile(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
	if err == nil {
		err = pprof.StartCPUProfile(w)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-r.Context().Done():
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the parent sees that it is cut off
}
