package connect

import (
	"errors"

	"github.com/throughline/throughline/schema/stream"
)

// Kafka says which Kafka to use. The tags are kong's.
type Kafka struct {
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Addresses of Kafka brokers, separated by commas."`
	Prefix  string   `name:"prefix" env:"THROUGHLINE_PREFIX" default:"throughline" help:"Begins the name of every topic, consumer group and transactional id."`
}

// Config is the configuration of the plumbing, for a client that the brokers know by its id.
func (k Kafka) Config(clientID string) stream.Config {
	return stream.Config{Brokers: k.Brokers, ClientID: clientID, Prefix: k.Prefix}
}

// Required is an error if no broker is named.
func (k Kafka) Required() error {
	if len(k.Brokers) == 0 {
		return errors.New("no Kafka brokers: set KAFKA_BROKERS or --brokers, or use `throughline dev`, which brings its own")
	}
	return nil
}
