package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// kafkaFormat is followed by the cluster's id in the FORMAT file.
	kafkaFormat = "kafka 4"
	// kafkaReady covers a slow disk; three brokers share the processors.
	kafkaReady = 90 * time.Second
)

// ApacheKafkaOptions describe a cluster.
type ApacheKafkaOptions struct {
	// DataDir keeps the data of all brokers. Required.
	DataDir string
	// CacheDir is where the jars are kept; see [FetchOptions].
	CacheDir string
	// Progress receives lines about a download; may be nil.
	Progress io.Writer
	// Logger is told about starts; nil means nobody.
	Logger *slog.Logger
	// Brokers is 1 or 3; 0 means 1. Three hold each record three times and
	// serve with one down.
	Brokers int
	// ShortLived is for a cluster that ends within minutes, as a test's does:
	// its Java compiles quickly rather than well, which takes a third off the
	// processor time of a start.
	ShortLived bool
	// OwnerWait is how long to wait for a dying owner of DataDir; 0 means 10 s.
	OwnerWait time.Duration
	// Listeners are further doors of a cluster of one broker, such as one with
	// TLS. Without any it has one door, without encryption or passwords.
	Listeners []KafkaListener
	// Front makes a proxy in front of an address of broker i, counted from 0,
	// and returns the proxy's. With it every broker has one door more, whose
	// address it gives to clients is that of the proxy: what comes in through
	// one of Fronts stays with the proxies.
	Front func(broker int, addr string) (string, error)
	// ScramUsers are users with their passwords, for both SCRAM mechanisms,
	// made when the data folder is.
	ScramUsers map[string]string
}

// KafkaListener is a door of a broker.
type KafkaListener struct {
	// Name is of capital letters, and not that of another one.
	Name string
	// Protocol is SSL, SASL_SSL or SASL_PLAINTEXT.
	Protocol string
	// Properties are the broker's for this listener, such as
	// ssl.keystore.location.
	Properties map[string]string
}

// ApacheKafka is a running cluster.
type ApacheKafka struct {
	// Brokers are the addresses to give to a client. They stay the same when
	// a broker is killed and restarted.
	Brokers []string
	// Doors are the addresses of the further listeners, by name.
	Doors map[string]string
	// Fronts are the addresses of the proxies that Front made, if it was given.
	Fronts []string

	java, libs string
	quick      bool   // see ShortLived
	cluster    string // its id
	nodes      []kafkaNode
	children   []*child
	owner      *os.File
	logger     *slog.Logger
	closed     func() error
}

// StartApacheKafka starts a cluster and returns once all of its brokers are in
// the metadata it answers with. The context bounds the start only; the cluster
// ends with Close or with this process. Errors wrap [ErrNoKafka] and
// [ErrFolderInUse].
func StartApacheKafka(ctx context.Context, opts ApacheKafkaOptions) (*ApacheKafka, error) {
	count := cmp.Or(opts.Brokers, 1)
	if opts.DataDir == "" || (count != 1 && count != 3) {
		return nil, fmt.Errorf("start Apache Kafka: want a data folder and 1 or 3 brokers, got %q and %d", opts.DataDir, count)
	}
	if count != 1 && len(opts.Listeners) > 0 {
		return nil, errors.New("start Apache Kafka: further listeners are for one broker")
	}
	dir, err := filepath.Abs(opts.DataDir)
	if err != nil {
		return nil, fmt.Errorf("resolve data folder: %w", err)
	}
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	libs, err := FetchKafka(ctx, FetchOptions{CacheDir: opts.CacheDir, Progress: opts.Progress})
	if err != nil {
		return nil, err
	}
	owner, err := claimFolder(ctx, dir, cmp.Or(opts.OwnerWait, ownerWait))
	if err != nil {
		return nil, err
	}
	k := &ApacheKafka{
		java: java, libs: libs, owner: owner, quick: opts.ShortLived,
		children: make([]*child, count),
		logger:   cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
	}
	k.closed = sync.OnceValue(k.close)
	for try := 1; ; try++ {
		err := k.start(ctx, dir, count, opts)
		if err == nil {
			k.logger.InfoContext(ctx, "apache kafka started", "brokers", k.Brokers, "data_dir", dir)
			return k, nil
		}
		err = errors.Join(err, k.killAll())
		if !errors.Is(err, errPortTaken) || try == portTries {
			return nil, errors.Join(fmt.Errorf("start Apache Kafka: %w", err), owner.Close())
		}
	}
}

// start is one try, with ports of its own.
func (k *ApacheKafka) start(ctx context.Context, dir string, count int, opts ApacheKafkaOptions) error {
	var err error
	if k.cluster, err = clusterID(dir, count); err != nil {
		return err
	}
	ports, err := freePorts(make([]int, 3*count+len(opts.Listeners))...)
	if err != nil {
		return err
	}
	k.nodes, k.Brokers, k.Fronts, k.Doors = nil, nil, nil, make(map[string]string, len(opts.Listeners))
	for i := range count {
		node := kafkaNode{
			id: i + 1, dir: filepath.Join(dir, fmt.Sprintf("broker-%d", i+1)),
			port: ports[2*i], controllerPort: ports[2*i+1],
		}
		for j, l := range opts.Listeners {
			door := kafkaDoor{KafkaListener: l, port: ports[3*count+j]}
			node.doors = append(node.doors, door)
			k.Doors[l.Name] = door.addr()
		}
		if opts.Front != nil {
			door := kafkaDoor{KafkaListener: KafkaListener{Name: "FRONT", Protocol: "PLAINTEXT"}, port: ports[2*count+i]}
			if door.front, err = opts.Front(i, door.addr()); err != nil {
				return fmt.Errorf("put a proxy in front of broker %d: %w", node.id, err)
			}
			node.doors = append(node.doors, door)
			k.Fronts = append(k.Fronts, door.front)
		}
		k.nodes = append(k.nodes, node)
		k.Brokers = append(k.Brokers, node.addr())
	}
	formats, formatting := errgroup.WithContext(ctx)
	for _, node := range k.nodes {
		formats.Go(func() error { return k.format(formatting, node, opts.ScramUsers) })
	}
	if err := formats.Wait(); err != nil {
		return err
	}
	for i := range k.nodes {
		if err := k.launch(ctx, i); err != nil {
			return err
		}
	}
	return k.awaitReady(ctx)
}

// clusterID reads the cluster's id and size from the data folder, or makes them
// up where it is new.
func clusterID(dir string, count int) (string, error) {
	prefix := fmt.Sprintf("%s, %d brokers, cluster ", kafkaFormat, count)
	found, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	if id, ok := strings.CutPrefix(strings.TrimSpace(string(found)), prefix); ok {
		return id, nil
	}
	text := NewClusterID()
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		// Something else is there: have the check say what.
		return "", errors.Join(checkFormat(dir, prefix+"…"), err)
	}
	return text, checkFormat(dir, prefix+text)
}

// NewClusterID makes up the id of a new cluster.
func NewClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // the tools take an id that begins with a dash for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// format writes a broker's configuration, and its metadata folder where there
// is none yet.
func (k *ApacheKafka) format(ctx context.Context, node kafkaNode, scram map[string]string) error {
	if err := os.MkdirAll(node.dir, 0o700); err != nil {
		return fmt.Errorf("create folder of broker %d: %w", node.id, err)
	}
	if err := writeFile(node.config(), node.properties(k.nodes)); err != nil {
		return err
	}
	if exists(filepath.Join(node.logDir(), "meta.properties")) {
		return nil
	}
	args := []string{
		"-XX:TieredStopAtLevel=1", "-cp", filepath.Join(k.libs, "*"),
		"kafka.tools.StorageTool", "format", "-t", k.cluster, "-c", node.config(),
	}
	for user, password := range scram {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", mechanism+"=[name="+user+",password="+password+"]")
		}
	}
	cmd := exec.CommandContext(ctx, k.java, args...) //nolint:gosec // the user's Java
	cmd.WaitDelay = killBound
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format storage of broker %d: %w: %s", node.id, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// Close ends the cluster in an orderly way and waits until it is gone. It may
// be called again.
func (k *ApacheKafka) Close() error { return k.closed() }

func (k *ApacheKafka) close() error {
	var stops errgroup.Group
	for _, child := range k.children {
		stops.Go(func() error { return child.stop(termBound + killBound) })
	}
	err := stops.Wait()
	return errors.Join(err, k.owner.Close())
}

// Done closes when the first broker has ended, asked for or not. It is meant for
// a cluster of one, whose end is the end of everything.
func (k *ApacheKafka) Done() <-chan struct{} { return k.children[0].done }

// Err says how the first broker ended; it is nil while it runs.
func (k *ApacheKafka) Err() error { return k.children[0].ending() }

// killAll ends what a failed start left running.
func (k *ApacheKafka) killAll() error {
	var err error
	for i, child := range k.children {
		if child != nil {
			err = errors.Join(err, child.kill())
			k.children[i] = nil
		}
	}
	return err
}
