package schematest

import (
	"context"
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

// ApacheCluster starts an Apache Kafka for this test alone, for tests that kill
// and restart brokers. It takes seconds for one broker and half a minute for
// three. KAFKA_BROKERS does not count: nobody else's brokers are to be killed.
func ApacheCluster(tb testing.TB, brokers int) *embedded.ApacheKafka {
	tb.Helper()
	cluster, err := embedded.StartApacheKafka(background(tb), embedded.ApacheKafkaOptions{
		DataDir: tb.TempDir(), Progress: os.Stderr, Brokers: brokers, ShortLived: true,
	})
	if err != nil {
		missing(tb, "apache kafka", err)
	}
	tb.Cleanup(func() {
		if err := cluster.Close(); err != nil {
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
		cluster, err := embedded.StartApacheKafka(ctx, embedded.ApacheKafkaOptions{DataDir: dir, Progress: os.Stderr, ShortLived: true})
		if err != nil {
			return nil, err
		}
		shared.keep(cluster)
		return cluster.Brokers, nil
	})
}
