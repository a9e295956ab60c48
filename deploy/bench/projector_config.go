package bench

import (
	"errors"
	"fmt"
)

// ProjectorConfig says how much the projector is given. The tags are kong's.
type ProjectorConfig struct {
	Events  int      `name:"events" default:"200000" help:"Events in the log, each on two timelines and in the event log: three rows."`
	Rounds  int      `name:"rounds" default:"5" help:"Rounds; in each, the projector and the limit are measured once."`
	Block   int      `name:"block" default:"20000" help:"Rows in a block of the limit."`
	Kafka   string   `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string   `name:"json" placeholder:"FILE" help:"Write every figure of every round to this file."`
	Profile string   `name:"profile" placeholder:"FOLDER" help:"Write a profile of the projector's last round into this folder; that costs it some percent."`
}

// defaultBlock is the default of Block.
const defaultBlock = 20_000

// Validate reports everything that is wrong with a ProjectorConfig.
func (c ProjectorConfig) Validate() error {
	var errs []error
	if c.Events < 10_000 || c.Events > 100_000_000 {
		errs = append(errs, fmt.Errorf("events is %d, want 10000 to 100000000", c.Events))
	}
	if c.Rounds < 1 || c.Rounds > 100 {
		errs = append(errs, fmt.Errorf("rounds is %d, want 1 to 100", c.Rounds))
	}
	if c.Block < 100 || c.Block > 500_000 {
		errs = append(errs, fmt.Errorf("block is %d, want 100 to 500000", c.Block))
	}
	return errors.Join(errs...)
}
