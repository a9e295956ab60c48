package connect

import (
	"errors"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/tlsdial"
)

// Kafka says which Kafka to use, and as whom. The tags are kong's.
type Kafka struct {
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Addresses of Kafka brokers, separated by commas."`
	Prefix  string   `name:"prefix" env:"THROUGHLINE_PREFIX" default:"throughline" help:"Begins the name of every topic, consumer group and transactional id."`

	TLS tlsdial.Config `embed:"" prefix:"kafka-" envprefix:"KAFKA_"`

	Mechanism    string `name:"kafka-sasl-mechanism" env:"KAFKA_SASL_MECHANISM" enum:",PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" default:"" help:"How to log in: PLAIN (with TLS only), SCRAM-SHA-256 or SCRAM-SHA-512; absent: not at all."`
	User         string `name:"kafka-sasl-user" env:"KAFKA_SASL_USER" help:"User to log in as."`
	Password     string `name:"kafka-sasl-password" env:"KAFKA_SASL_PASSWORD" hidden:"" secret:"env" help:"Password of that user."`
	PasswordFile string `name:"kafka-sasl-password-file" env:"KAFKA_SASL_PASSWORD_FILE" placeholder:"FILE" help:"File that holds the password; or KAFKA_SASL_PASSWORD is the password itself."`
}

// Config is the configuration of the plumbing, for a client that the brokers know by its id.
func (k Kafka) Config(clientID string) (stream.Config, error) {
	password, err := Secret("KAFKA_SASL_PASSWORD", k.Password, k.PasswordFile)
	if err != nil {
		return stream.Config{}, err
	}
	return stream.Config{
		Brokers: k.Brokers, ClientID: clientID, Prefix: k.Prefix, TLS: k.TLS,
		SASL: stream.SASL{Mechanism: k.Mechanism, User: k.User, Password: password},
	}, nil
}

// Required says everything that is wrong, which is first of all that no broker is named.
func (k Kafka) Required() error {
	if len(k.Brokers) == 0 {
		return errors.New("no Kafka brokers: set KAFKA_BROKERS or --brokers, or use `throughline dev`, which brings its own")
	}
	cfg, err := k.Config("throughline")
	if err != nil {
		return err
	}
	return cfg.Validate()
}
