package bench

import (
	"errors"
	"fmt"
	"time"
)

// RegistryConfig says how large a registry is measured. The tags are kong's.
type RegistryConfig struct {
	Objects int           `name:"objects" default:"1000000" help:"Objects, each with a data key, an external id, three attributes and a relation."`
	Time    time.Duration `name:"time" default:"4s" help:"Time of one measurement of reads."`
	Rate    int           `name:"rate" default:"2000" help:"Objects that are written a second while barriers are measured."`
	Readers int           `name:"readers" default:"64" help:"Readers at once where barriers are shared."`
	Kafka   string        `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string      `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string        `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
	Profile string        `name:"profile" placeholder:"FOLDER" help:"Write profiles of the load into this folder."`
}

// Validate reports everything that is wrong with a RegistryConfig.
func (c RegistryConfig) Validate() error {
	var errs []error
	if c.Objects < 1000 || c.Objects > 1e9 {
		errs = append(errs, fmt.Errorf("objects is %d, want 1000 to 1000000000", c.Objects))
	}
	if c.Time < 100*time.Millisecond || c.Time > 10*time.Minute {
		errs = append(errs, fmt.Errorf("time is %s, want 100ms to 10m", c.Time))
	}
	if c.Rate < 1 || c.Rate > 1e6 || c.Readers < 1 || c.Readers > 10000 {
		errs = append(errs, errors.New("rate must be 1 to 1000000, readers 1 to 10000"))
	}
	return errors.Join(errs...)
}
