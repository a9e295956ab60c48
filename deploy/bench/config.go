package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/topic"
)

// Config says what is measured, and for how long. The tags are kong's.
type Config struct {
	Rounds  int             `name:"rounds" default:"5" help:"Rounds; in each, every server is measured once."`
	Time    time.Duration   `name:"time" default:"4s" help:"Time of one measurement."`
	Warmup  time.Duration   `name:"warmup" default:"3s" help:"Time for which every server is used before the first round."`
	Clients int             `name:"clients" default:"128" help:"Connections that post single events."`
	Rate    int             `name:"rate" default:"0" help:"Events a second of the measurement of latency; 0 is half of what the edge took."`
	Batch   int             `name:"batch" default:"1000" help:"Events in a batch."`
	Senders int             `name:"senders" default:"4" help:"Connections that post batches."`
	Lookup  string          `name:"lookup" default:"objectId" enum:"objectId,externalId" help:"How events name their object."`
	Linger  time.Duration   `name:"linger" default:"0" help:"How long producers wait for more records, those of the bare handler too."`
	Sweep   []time.Duration `name:"sweep" placeholder:"TIME" help:"Compare single POSTs with these lingers, in turn, and measure nothing else."`
	Link    bool            `name:"link" help:"Run the linker in the edge's process, as throughline ingest does."`
	Log     string          `name:"log-level" default:"info" enum:"info,warn" help:"Least level of the edge's log, which has a line for each request at info."`
	Kafka   string          `name:"kafka" default:"apache" enum:"apache,embedded" help:"Which broker to start where KAFKA_BROKERS names none."`
	Brokers []string        `name:"brokers" env:"KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Brokers to use instead of one that is started."`
	Only    string          `name:"only" default:"all" enum:"all,singles,batches" help:"Measure these alone."`
	JSON    string          `name:"json" placeholder:"FILE" help:"Write every figure of every round to this file."`
	Profile string          `name:"profile" placeholder:"FOLDER" help:"Write profiles of the edge into this folder; that costs it some percent."`
}

// objects is how many objects the events are about.
const objects = 1000

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var errs []error
	if c.Rounds < 1 || c.Rounds > 100 {
		errs = append(errs, fmt.Errorf("rounds is %d, want 1 to 100", c.Rounds))
	}
	if c.Time < 100*time.Millisecond || c.Time > 10*time.Minute {
		errs = append(errs, fmt.Errorf("time is %s, want 100ms to 10m", c.Time))
	}
	if c.Clients < 1 || c.Clients > 1024 || c.Senders < 1 || c.Senders > 64 {
		errs = append(errs, errors.New("clients must be 1 to 1024, senders 1 to 64"))
	}
	if c.Batch < 1 || c.Batch > event.MaxBatchItems {
		errs = append(errs, fmt.Errorf("batch is %d, want 1 to %d", c.Batch, event.MaxBatchItems))
	}
	if c.Rate < 0 || c.Linger < 0 || c.Warmup < 0 {
		errs = append(errs, errors.New("rate, linger and warmup must not be negative"))
	}
	return errors.Join(errs...)
}

// partitions are as many as an installation has by default: more of them make smaller record batches.
func (c Config) partitions() int {
	if c.Kafka == "embedded" {
		return topic.EmbeddedPartitions
	}
	return topic.DefaultPartitions
}

func (c Config) singles() bool { return c.Only != "batches" }
func (c Config) batches() bool { return c.Only != "singles" }
