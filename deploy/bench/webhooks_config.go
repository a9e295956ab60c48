package bench

import (
	"errors"
	"fmt"
	"time"
)

// WebhooksConfig says how much the dispatcher is given. The tags are kong's.
type WebhooksConfig struct {
	Rounds   int           `name:"rounds" default:"5" help:"Rounds; in each, everything is measured once."`
	Time     time.Duration `name:"time" default:"5s" help:"Time of one measurement."`
	Healthy  int           `name:"healthy" default:"160" help:"Endpoints that answer at once."`
	Silent   int           `name:"silent" default:"20" help:"Endpoints that never answer."`
	Failing  int           `name:"failing" default:"20" help:"Endpoints that answer 500."`
	Clients  int           `name:"clients" default:"128" help:"Connections of the bare client."`
	Rate     int           `name:"rate" default:"0" help:"Deliveries a second of the measurements of latency; 0 is a third of the most that was reached."`
	PostRate int           `name:"post-rate" default:"100" help:"Events a second that are posted to the edge to measure the whole way."`
	Backlog  int           `name:"backlog" default:"50_000" help:"Deliveries that wait for an endpoint that nobody can reach; 0 leaves that out."`
	Kafka    string        `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers  []string      `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON     string        `name:"json" placeholder:"FILE" help:"Write every figure of every round to this file."`
	Profile  string        `name:"profile" placeholder:"FOLDER" help:"Write a profile of the dispatcher at its most into this folder."`
}

// Validate reports everything that is wrong with a WebhooksConfig.
func (c WebhooksConfig) Validate() error {
	var errs []error
	if c.Rounds < 1 || c.Rounds > 100 {
		errs = append(errs, fmt.Errorf("rounds is %d, want 1 to 100", c.Rounds))
	}
	if c.Time < time.Second || c.Time > 10*time.Minute {
		errs = append(errs, fmt.Errorf("time is %s, want 1s to 10m", c.Time))
	}
	if c.Healthy < 1 || c.Healthy > 1000 || c.Silent < 0 || c.Silent > 1000 || c.Failing < 0 || c.Failing > 1000 {
		errs = append(errs, errors.New("healthy must be 1 to 1000, silent and failing 0 to 1000"))
	}
	if c.Clients < 1 || c.Clients > 1024 {
		errs = append(errs, fmt.Errorf("clients is %d, want 1 to 1024", c.Clients))
	}
	if c.Rate < 0 || c.PostRate < 1 || c.Backlog < 0 || c.Backlog > 10_000_000 {
		errs = append(errs, errors.New("rate must not be negative, post-rate be 1 at least, backlog 0 to 10000000"))
	}
	return errors.Join(errs...)
}
