package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/stream"
)

const (
	// prefix begins the names of topics and groups, as it does by default.
	prefix = "throughline"
	// startWithin bounds a start: machines that test are busy.
	startWithin = 5 * time.Minute
	// partitions are those of each topic: a group of two or three members has some to share.
	partitions = 4
)

// world is an installation and what can go wrong with it.
type world struct {
	t   *testing.T
	dir string
	key string // of the API
	// edges are the addresses of the write side.
	edges []string
	// dispatchers are the addresses of the dispatchers' API, and receiver is where they post to; nil where there are none.
	dispatchers []string
	receiver    *receiver
	// kafka is the cluster, around the proxies.
	kafka stream.Config
	// direct are the variables of commands that go around the proxies.
	direct []string
	// targets are what faults happen to, by name.
	targets  map[string]target
	services []*service
	db       driver.Conn

	mu    sync.Mutex
	notes []string
}

// note keeps a line for the report, and prints it.
func (w *world) note(format string, args ...any) {
	line := time.Now().Format(time.TimeOnly) + " " + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, line)
	fmt.Println(line)
}

// members is how many processes of a service there are.
type members struct{ ingest, projector, dispatcher int }

// newWorld starts everything and waits until it works.
func newWorld(t *testing.T, n members) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "throughline-faults-run-") //nolint:usetesting // the logs of a run that failed outlive it
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, targets: map[string]target{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs are in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	kafka, fronts := w.startKafka()
	w.kafka = stream.Config{Brokers: kafka.Brokers, ClientID: "faults", Prefix: prefix}
	db, front := w.startClickHouse()
	common := []string{
		"THROUGHLINE_MASTER_KEY=" + strings.Repeat("0f", 32), "THROUGHLINE_REPLICATION=3", "THROUGHLINE_PARTITIONS=" + strconv.Itoa(partitions),
		"THROUGHLINE_PREFIX=" + prefix, "CLICKHOUSE_USER=" + db.User, "CLICKHOUSE_PASSWORD=" + db.Password, "THROUGHLINE_LOG_LEVEL=info",
	}
	w.direct = append([]string{"KAFKA_BROKERS=" + strings.Join(kafka.Brokers, ","), "CLICKHOUSE_ADDR=" + db.Addr}, common...)
	proxied := append([]string{"KAFKA_BROKERS=" + strings.Join(fronts, ","), "CLICKHOUSE_ADDR=" + front}, common...)
	w.setUp()
	for i := range n.ingest {
		w.serve("ingest", i, proxied)
	}
	for i := range n.projector {
		w.serve("projector", i, proxied)
	}
	for i := range n.dispatcher {
		w.serve("dispatcher", i, proxied)
	}
	w.awaitEdges()
	if n.dispatcher > 0 {
		w.receiver = newReceiver(t)
		w.register()
	}
	return w
}

func (w *world) startKafka() (kafka *embedded.ApacheKafka, fronts []string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), startWithin)
	defer cancel()
	kafka, err := embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{
		DataDir: filepath.Join(w.dir, "kafka"), Progress: os.Stderr, Brokers: 3, ShortLived: true,
		Front: func(broker int, addr string) (string, error) {
			name := "kafka-" + strconv.Itoa(broker) + "-line"
			p, err := newProxy(name, addr)
			if err != nil {
				return "", err
			}
			w.targets[name] = p
			w.t.Cleanup(p.Stop)
			return p.Listen, nil
		},
	})
	if err != nil {
		w.missing(err)
	}
	w.t.Cleanup(func() {
		if err := kafka.Close(); err != nil {
			w.t.Errorf("close Kafka: %v", err)
		}
	})
	for i := range kafka.Brokers {
		w.targets["kafka-"+strconv.Itoa(i)] = &broker{kafka: kafka, number: i}
	}
	return kafka, kafka.Fronts
}

// missing ends a test that has no servers: it is left out at home, and fails where servers are promised.
func (w *world) missing(err error) {
	w.t.Helper()
	if errors.Is(err, embedded.ErrNoKafka) && os.Getenv("INTEGRATION") != "required" {
		w.t.Skipf("there is no Apache Kafka: %v", err)
	}
	w.t.Fatal(err)
}

func (w *world) startClickHouse() (db *embedded.ClickHouse, front string) {
	w.t.Helper()
	db, err := embedded.StartClickHouse(w.t.Context(), embedded.ClickHouseOptions{DataDir: filepath.Join(w.dir, "clickhouse"), Progress: os.Stderr})
	if err != nil {
		w.missing(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Errorf("close ClickHouse: %v", err)
		}
	})
	w.targets["clickhouse"] = &engine{db: db}
	line, err := newProxy("clickhouse-line", db.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(line.Stop)
	w.targets["clickhouse-line"] = line
	w.db, err = clickhouse.Open(&clickhouse.Options{
		Addr: []string{db.Addr}, Auth: clickhouse.Auth{Database: prefix, Username: db.User, Password: db.Password}, ReadTimeout: time.Minute,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.db.Close() })
	return db, line.Listen
}

// setUp makes topics, tables, a workspace and a key.
func (w *world) setUp() {
	w.t.Helper()
	for _, args := range [][]string{{"topics"}, {"migrate"}, {"keys", "workspace", "shop"}} {
		if _, err := command(w.t, w.dir, w.direct, args...); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if w.key, err = command(w.t, w.dir, w.direct, "keys", "create", "shop"); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts a process of a service.
func (w *world) serve(kind string, i int, vars []string) {
	w.t.Helper()
	name := kind + "-" + string(rune('a'+i))
	s := &service{name: name, dir: filepath.Join(w.dir, name), args: []string{kind}, notes: w.note}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	listen := freePort(w.t)
	s.vars = append([]string{
		"THROUGHLINE_LISTEN=" + listen, "THROUGHLINE_ADMIN_LISTEN=" + freePort(w.t), "THROUGHLINE_LINK_INSTANCE=" + name,
		"THROUGHLINE_WEBHOOK_INSTANCE=" + name, "THROUGHLINE_WEBHOOK_ALLOW=127.0.0.0/8:*", "THROUGHLINE_WEBHOOK_PLAIN_HTTP=true",
		"GOMEMLIMIT=256MiB",
	}, vars...)
	switch kind {
	case "ingest":
		w.edges = append(w.edges, "http://"+listen)
	case "dispatcher":
		w.dispatchers = append(w.dispatchers, "http://"+listen)
	}
	w.targets[name] = s
	w.services = append(w.services, s)
	s.mu.Lock()
	err := s.start()
	s.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.close)
}

// awaitEdges waits until every edge has accepted a write.
func (w *world) awaitEdges() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), startWithin)
	defer cancel()
	for i := range w.edges {
		only := poster{edges: w.edges[i : i+1], key: w.key}
		if _, err := only.until(ctx, http.MethodPut, "/v1/objects/CUSTOMER/first", `{}`); err != nil {
			w.t.Fatalf("edge %d does not begin to work: %v", i, err)
		}
	}
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// broker is a broker of the cluster.
type broker struct {
	kafka  *embedded.ApacheKafka
	number int
	paused int
}

func (b *broker) begin(k Kind) error {
	if k == Kill {
		return b.kafka.Kill(b.number)
	}
	b.paused = leaf(b.kafka.Pid(b.number))
	return syscall.Kill(b.paused, syscall.SIGSTOP)
}

func (b *broker) end(k Kind) error {
	if k == Kill {
		ctx, cancel := context.WithTimeout(context.Background(), startWithin)
		defer cancel()
		err := b.kafka.Restart(ctx, b.number)
		for err != nil && !b.whole(ctx) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return err
			}
		}
		return nil
	}
	return syscall.Kill(b.paused, syscall.SIGCONT)
}

// whole says whether all brokers are there. A start takes minutes on a machine that is busy enough, longer than Restart waits.
func (b *broker) whole(ctx context.Context) bool {
	cfg := stream.Config{Brokers: b.kafka.Brokers, ClientID: "faults-broker", Prefix: prefix}
	cluster, err := stream.Ask(ctx, cfg, slog.New(slog.DiscardHandler))
	return err == nil && cluster.Brokers == len(b.kafka.Brokers)
}

// engine is ClickHouse, which is started again as soon as it is dead.
type engine struct {
	db     *embedded.ClickHouse
	paused int
}

func (e *engine) begin(k Kind) error {
	e.paused = leaf(e.db.Pid())
	if k == Kill {
		return syscall.Kill(e.paused, syscall.SIGKILL)
	}
	return syscall.Kill(e.paused, syscall.SIGSTOP)
}

func (e *engine) end(k Kind) error {
	if k == Kill {
		return nil
	}
	return syscall.Kill(e.paused, syscall.SIGCONT)
}

// needApacheKafka leaves a test out where Apache Kafka cannot run or is not wanted.
func needApacheKafka(t *testing.T) {
	t.Helper()
	if os.Getenv("SERVERS") == "embedded" {
		t.Skip("SERVERS=embedded leaves Apache Kafka out")
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("INTEGRATION") == "required" {
				t.Fatalf("Apache Kafka is required: %v", err)
			}
			t.Skipf("Apache Kafka needs %s: %v", tool, err)
		}
	}
}
