package query

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
)

// Config is what an operator says of the query service. The connections are filled in by the program, which shares their
// flags between services.
type Config struct {
	// Listen is host:port; empty where the handler is mounted by another server.
	Listen string `default:"127.0.0.1:8082" env:"THROUGHLINE_QUERY_LISTEN" help:"Address that reads are answered on." name:"query-listen"`
	// PositionTimeout is how long a read waits for the writes of a position, over all hops.
	PositionTimeout time.Duration `default:"5s" env:"THROUGHLINE_QUERY_POSITION_TIMEOUT" help:"How long a read waits for the writes that its position names." name:"query-position-timeout"`
	// Limits bound every statement.
	Limits Limits `embed:"" prefix:"query-"`

	Kafka stream.Config `kong:"-"`
	// ClickHouse names a user that can read and nothing else.
	ClickHouse store.Config `kong:"-"`
}

// Limits bound one statement on ClickHouse. A statement that exceeds one is a 422 to the client; one for which the server
// has no memory left is a 503.
type Limits struct {
	Time        time.Duration `default:"10s" env:"THROUGHLINE_QUERY_MAX_TIME" help:"How long a statement may run, in whole seconds." name:"max-time"`
	Rows        uint64        `default:"100000000" env:"THROUGHLINE_QUERY_MAX_ROWS" help:"How many rows the ranges of a statement may have before it starts; an object with more events needs a time range." name:"max-rows"`
	Bytes       uint64        `type:"bytes" default:"4GiB" env:"THROUGHLINE_QUERY_MAX_BYTES" help:"How many bytes a statement may read, uncompressed." name:"max-bytes"`
	Memory      uint64        `type:"bytes" default:"512MiB" env:"THROUGHLINE_QUERY_MAX_MEMORY" help:"How many bytes of memory a statement may take on the server." name:"max-memory"`
	ResultBytes uint64        `type:"bytes" default:"64MiB" env:"THROUGHLINE_QUERY_MAX_RESULT_BYTES" help:"How many bytes a page may have before it is written as JSON." name:"max-result-bytes"`
}

// DefaultConfig is what an operator gets who says nothing; the connections are still to be filled in.
func DefaultConfig() Config {
	return Config{
		Listen:          "127.0.0.1:8082",
		PositionTimeout: 5 * time.Second,
		Limits: Limits{
			Time: 10 * time.Second,
			Rows: 100_000_000,
			// At the 1–2 GB/s that two threads decompress, this and the time limit bound about the same work.
			Bytes: 4 << 30,
			// 16 connections of it are 8 GiB on a server of its own; in dev the user's profile is tighter.
			Memory: 512 << 20,
			// The longest page has 500 rows of at most 32 KiB as sent and the description again.
			ResultBytes: 64 << 20,
		},
	}
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	if c.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			problems = append(problems, fmt.Errorf("query listen address %q is not host:port", c.Listen))
		}
	}
	if c.PositionTimeout <= 0 || c.PositionTimeout > time.Minute {
		problems = append(problems, errors.New("query position timeout must be above 0 and at most 1m"))
	}
	return errors.Join(append(problems, c.Limits.Validate(), c.Kafka.Validate(), c.ClickHouse.Validate())...)
}

// Validate says everything that is wrong with the limits.
func (l Limits) Validate() error {
	var problems []error
	if l.Time < time.Second || l.Time > 5*time.Minute {
		problems = append(problems, errors.New("query time limit must be from 1s to 5m"))
	}
	for _, limit := range []struct {
		name  string
		value uint64
	}{
		{"rows", l.Rows},
		{"bytes", l.Bytes},
		{"memory", l.Memory},
		{"result bytes", l.ResultBytes},
	} {
		if limit.value == 0 {
			problems = append(problems, fmt.Errorf("query limit of %s must not be 0, which the server takes for none", limit.name))
		}
	}
	return errors.Join(problems...)
}
