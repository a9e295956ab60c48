package bench

import (
	"errors"
	"fmt"
	"time"
)

// SystemConfig says what the whole is given. The tags are kong's.
type SystemConfig struct {
	Events  int           `name:"events" default:"200000" help:"Events of each measurement."`
	Time    time.Duration `name:"time" default:"20s" help:"Time of the measurement of freshness."`
	Rate    int           `name:"rate" help:"Events a second of the measurement of freshness; 0 is half of what the whole sustains."`
	Kafka   string        `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string      `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string        `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
}

// Validate reports everything that is wrong with a SystemConfig.
func (c SystemConfig) Validate() error {
	var errs []error
	if c.Events < 1000 || c.Events > 100_000_000 {
		errs = append(errs, fmt.Errorf("events is %d, want 1000 to 100000000", c.Events))
	}
	if c.Time < time.Second || c.Time > time.Hour {
		errs = append(errs, fmt.Errorf("time is %s, want 1s to 1h", c.Time))
	}
	if c.Rate < 0 || c.Rate > 10_000_000 {
		errs = append(errs, fmt.Errorf("rate is %d, want 0 to 10000000", c.Rate))
	}
	return errors.Join(errs...)
}

// ConversationsConfig says how long the processor of conversations is measured. The tags are kong's.
type ConversationsConfig struct {
	Transitions int           `name:"transitions" default:"200000" help:"Transitions posted in batches."`
	Rate        int           `name:"rate" default:"10" help:"Transitions a second at light load."`
	Time        time.Duration `name:"time" default:"10s" help:"Time of the measurement at light load, and of its limit."`
	Kafka       string        `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers     []string      `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON        string        `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
	Profile     string        `name:"profile" placeholder:"FOLDER" help:"Write a profile of the edge and its processor while they take batches into this folder."`
}

// Validate reports everything that is wrong with a ConversationsConfig.
func (c ConversationsConfig) Validate() error {
	var errs []error
	if c.Transitions < 1000 || c.Transitions > 10_000_000 {
		errs = append(errs, fmt.Errorf("transitions is %d, want 1000 to 10000000", c.Transitions))
	}
	if c.Rate < 1 || c.Rate > 10_000 {
		errs = append(errs, fmt.Errorf("rate is %d, want 1 to 10000", c.Rate))
	}
	if c.Time < time.Second || c.Time > time.Hour {
		errs = append(errs, fmt.Errorf("time is %s, want 1s to 1h", c.Time))
	}
	return errors.Join(errs...)
}

// PagesConfig says over how many rows pages are measured. The tags are kong's.
type PagesConfig struct {
	Size    []int    `name:"size" env:"SIZE" default:"1000000,10000000" help:"Rows of the timeline, one table for each size."`
	Pages   int      `name:"pages" default:"200" help:"Pages of each kind."`
	Kafka   string   `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	JSON    string   `name:"json" placeholder:"FILE" help:"Write every figure to this file."`
}

// Validate reports everything that is wrong with a PagesConfig.
func (c PagesConfig) Validate() error {
	var errs []error
	for _, n := range c.Size {
		if n < 10_000 || n > 1_000_000_000 {
			errs = append(errs, fmt.Errorf("size is %d, want 10000 to 1000000000", n))
		}
	}
	if c.Pages < 10 || c.Pages > 1_000_000 {
		errs = append(errs, fmt.Errorf("pages is %d, want 10 to 1000000", c.Pages))
	}
	return errors.Join(errs...)
}
