package schematest

import (
	"context"
	"errors"
	"testing"
)

// ApacheKafka returns the addresses of an Apache Kafka, never of kfake, for
// tests of what the two do differently.
func ApacheKafka(t testing.TB) []string {
	t.Helper()
	if named := namedBrokers(); named != nil {
		return named
	}
	brokers, err := apacheKafka(background(t))
	if err != nil {
		missing(t, "apache kafka", err)
	}
	return brokers
}

func apacheKafka(ctx context.Context) ([]string, error) {
	return nil, errors.ErrUnsupported
}
