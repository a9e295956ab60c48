package schematest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/embedded"
)

// brokersEnv names running brokers, separated by commas.
const brokersEnv = "KAFKA_BROKERS"

// Kafka returns the addresses of the broker that this test binary shares. Use
// [Prefix] for the names of topics, groups and transactional ids.
func Kafka(tb testing.TB) []string {
	tb.Helper()
	if named := namedBrokers(); named != nil {
		return named
	}
	brokers, err := shared.kafka.get(func() ([]string, error) {
		kind, err := kind(background(tb))
		if err != nil {
			return nil, err
		}
		if kind == kindEmbedded {
			return startKfake(background(tb))
		}
		return apacheKafka(background(tb))
	})
	if err != nil {
		missing(tb, "kafka", err)
	}
	return brokers
}

// Kfake returns the address of a broker for this test alone, in memory.
func Kfake(tb testing.TB) []string {
	tb.Helper()
	server, err := embedded.StartKfake(tb.Context(), embedded.KfakeOptions{})
	if err != nil {
		tb.Fatalf("start kfake: %v", err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("close kfake: %v", err)
		}
	})
	return server.Brokers
}

// Prefix returns a name that no other test has, for tests share one broker. It
// ends in a dot and is legal at the start of a topic's name.
func Prefix(tb testing.TB) string {
	tb.Helper()
	return name(tb) + "."
}

func startKfake(ctx context.Context) ([]string, error) {
	server, err := embedded.StartKfake(ctx, embedded.KfakeOptions{})
	if err != nil {
		return nil, err
	}
	shared.keep(server)
	return server.Brokers, nil
}

func namedBrokers() []string {
	named := os.Getenv(brokersEnv)
	if named == "" {
		return nil
	}
	return strings.Split(named, ",")
}

// name is the test's name, shortened and made fit for topics and databases,
// and a random part, for a test can run many times against one server.
func name(tb testing.TB) string {
	tb.Helper()
	const most = 60
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		default:
			return '_'
		}
	}, strings.TrimPrefix(tb.Name(), "Test"))
	return "t_" + plain[:min(len(plain), most)] + "_" + strings.ToLower(rand.Text()[:10])
}
