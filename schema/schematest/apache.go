package schematest

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/throughline/throughline/schema/embedded"
)

// ApacheKafka returns the addresses of an Apache Kafka, never of kfake, for
// tests of what the two do differently. It is the broker of [Kafka] where that
// is an Apache Kafka.
func ApacheKafka(tb testing.TB) []string {
	tb.Helper()
	if named := namedBrokers(); named != nil {
		return named
	}
	brokers, err := apacheKafka(background(tb))
	if err != nil {
		missing(tb, "apache kafka", err)
	}
	return brokers
}

// Cluster is an Apache Kafka whose brokers a test may kill.
type Cluster struct {
	// Brokers are the addresses to give to a client. They stay the same when a
	// broker is killed and restarted.
	Brokers []string

	nodes nodes
}

// nodes are the brokers of a cluster, in processes of this machine or in
// containers. They count from 0.
type nodes interface {
	io.Closer

	// Kill ends a broker with SIGKILL and returns once it is gone.
	Kill(i int) error
	// Restart starts one that was killed, on its port and data, and returns
	// once the whole cluster is in the metadata again.
	Restart(ctx context.Context, i int) error
}

// Kill ends a broker with SIGKILL, as a crash would. Brokers count from 0.
func (c *Cluster) Kill(i int) error { return c.nodes.Kill(i) }

// Restart starts a broker that was killed, on the same port and data, and
// returns once the whole cluster is in the metadata again.
func (c *Cluster) Restart(ctx context.Context, i int) error { return c.nodes.Restart(ctx, i) }

// ApacheCluster starts an Apache Kafka of 1 or 3 brokers for this test alone,
// for tests that kill and restart brokers. It takes seconds for one broker and
// half a minute for three. KAFKA_BROKERS does not count: nobody else's brokers
// are to be killed.
func ApacheCluster(tb testing.TB, brokers int) *Cluster {
	tb.Helper()
	cluster, err := startCluster(background(tb), brokers, tb.TempDir())
	if err != nil {
		missing(tb, "apache kafka", err)
	}
	tb.Cleanup(func() {
		if err := cluster.nodes.Close(); err != nil {
			tb.Errorf("close apache kafka: %v", err)
		}
	})
	return cluster
}

func apacheKafka(ctx context.Context) ([]string, error) {
	return shared.apache.get(func() ([]string, error) {
		dir, err := shared.folder("kafka")
		if err != nil {
			return nil, err
		}
		cluster, err := startCluster(ctx, 1, dir)
		if err != nil {
			return nil, err
		}
		shared.keep(cluster.nodes)
		return cluster.Brokers, nil
	})
}

// startCluster starts brokers in containers where those are the kind of this
// run, and otherwise, whatever the kind, from the jars.
func startCluster(ctx context.Context, brokers int, dir string) (*Cluster, error) {
	kind, err := kind(ctx)
	if err != nil {
		return nil, err
	}
	if kind == kindDocker {
		c, err := startKafkaContainers(ctx, brokers)
		if err != nil {
			return nil, err
		}
		return &Cluster{Brokers: c.brokers, nodes: c}, nil
	}
	k, err := embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{
		DataDir: dir, Progress: os.Stderr, Brokers: brokers, ShortLived: true,
	})
	if err != nil {
		return nil, err
	}
	return &Cluster{Brokers: k.Brokers, nodes: k}, nil
}
