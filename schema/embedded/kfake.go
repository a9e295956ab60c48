package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	// kfakeFormat is this program's name for what kfake writes. kfake reads
	// its current format and the one before; a pinned kfake with a new one
	// comes with a new name here, and with a migration or a refusal.
	kfakeFormat = "kfake 1"

	kfakePartitions = 3
	// kfakeLogWarn is where a start takes seconds and gigabytes: kfake reads
	// its log into memory.
	kfakeLogWarn  = 1 << 30
	kfakeLogCheck = time.Minute
)

// KfakeCluster is the cluster's id of every kfake, which tells it from an Apache
// Kafka.
const KfakeCluster = "kfake"

// KfakeOptions describe one in-process broker.
type KfakeOptions struct {
	// DataDir keeps the records, each batch synced to disk before it is
	// acknowledged; empty keeps them in memory until Close.
	DataDir string
	// Port on the loopback address; 0 picks a free one. Clients learn the
	// address from the broker, so it may change from start to start.
	Port int
	// LogWarnBytes is the size of the log from which every check warns;
	// 0 means 1 GiB. Nothing is deleted: acknowledged is never lost.
	LogWarnBytes int64
	// OwnerWait is how long to wait for a dying owner of DataDir; 0 means 10 s.
	OwnerWait time.Duration
	// Logger is told about starts, the size of the log and errors of the
	// broker; nil means nobody.
	Logger *slog.Logger
}

// Kfake is a running broker.
type Kfake struct {
	// Brokers are the addresses to give to a client.
	Brokers []string

	cluster *kfake.Cluster
	owner   *os.File
	logger  *slog.Logger
	warnAt  int64
	dir     string

	stop   chan struct{}
	watch  sync.WaitGroup
	closed sync.Once
	err    error
}

// StartKfake starts a broker of franz-go's kfake, which speaks Kafka's protocol
// with transactions and consumer groups but is one process without replicas.
// A kill may leave a transaction committed on some of its partitions only; see
// the section on embedded servers in the documentation. The context bounds the
// wait for the data folder and the recovery of its log.
func StartKfake(ctx context.Context, opts KfakeOptions) (*Kfake, error) {
	k := &Kfake{
		dir:    opts.DataDir,
		logger: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
		warnAt: cmp.Or(opts.LogWarnBytes, kfakeLogWarn),
		stop:   make(chan struct{}),
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(kfakePartitions),
		kfake.WithLogger(kfakeLog{k.logger}),
		kfake.BrokerConfigs(map[string]string{
			// One broker cannot hold the three replicas that are the default.
			"default.replication.factor": "1",
			"min.insync.replicas":        "1",
			// kfake applies its week of retention to every topic once one
			// topic is compacted. A topic that forgets says so itself.
			"log.retention.ms": "-1",
		}),
	}
	if opts.Port != 0 {
		options = append(options, kfake.Ports(opts.Port))
	}
	if opts.DataDir != "" {
		owner, err := k.open(ctx, opts)
		if err != nil {
			return nil, err
		}
		k.owner = owner
		options = append(options, kfake.DataDir(filepath.Join(opts.DataDir, "log")), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start kfake: %w", err), k.release())
	}
	k.cluster = cluster
	k.Brokers = cluster.ListenAddrs()
	if opts.DataDir != "" {
		if err := k.endTorn(ctx); err != nil {
			cluster.Close()
			return nil, errors.Join(fmt.Errorf("recover kfake: %w", err), k.release())
		}
		k.watch.Go(k.watchSize)
	}
	k.logger.InfoContext(ctx, "kfake started", "brokers", k.Brokers, "data_dir", opts.DataDir)
	return k, nil
}

// open claims the data folder and checks that this program can read it.
func (k *Kfake) open(ctx context.Context, opts KfakeOptions) (*os.File, error) {
	owner, err := claimFolder(ctx, opts.DataDir, cmp.Or(opts.OwnerWait, ownerWait))
	if err != nil {
		return nil, err
	}
	if err := checkFormat(opts.DataDir, kfakeFormat); err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	return owner, nil
}

// watchSize warns about a log that has grown too large to be read into memory
// at every start.
func (k *Kfake) watchSize() {
	ticker := time.NewTicker(kfakeLogCheck)
	defer ticker.Stop()
	for {
		if size := folderSize(k.dir); size >= k.warnAt {
			k.logger.Warn("embedded kafka log is large: each start reads all of it into memory, move to Apache Kafka",
				"data_dir", k.dir, "log_bytes", size, "warn_bytes", k.warnAt)
		}
		select {
		case <-ticker.C:
		case <-k.stop:
			return
		}
	}
}

// Close ends the broker and frees its data folder. It may be called again.
func (k *Kfake) Close() error {
	k.closed.Do(func() {
		close(k.stop)
		k.watch.Wait()
		k.cluster.Close()
		k.err = k.release()
	})
	return k.err
}

// release gives the data folder back.
func (k *Kfake) release() error {
	if k.owner == nil {
		return nil
	}
	if err := k.owner.Close(); err != nil {
		return fmt.Errorf("release data folder: %w", err)
	}
	return nil
}

// kfakeLog passes on what the broker complains about. Its lines about single
// requests say nothing that the client does not know.
type kfakeLog struct{ logger *slog.Logger }

func (l kfakeLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError {
		l.logger.Error("embedded kafka", "detail", fmt.Sprintf(format, args...))
	}
}

var _ io.Closer = (*Kfake)(nil)
