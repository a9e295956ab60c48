package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/connect"
)

// Stdin is the name of standard input among the files.
const Stdin = "-"

const (
	// maxConversations bounds a run: each takes about a kilobyte while it lasts.
	maxConversations = 1_000_000
	// maxParallel bounds the batches under way; the edge takes eight of the largest at once.
	maxParallel = 16
	// maxSpeed plays a year in half a minute.
	maxSpeed = 1e6
)

// Config says what to post, and where. The tags are kong's.
type Config struct {
	Files    []string      `arg:"" name:"file" help:"Traces, plain or gzipped; - is standard input."`
	Format   string        `name:"format" default:"callcenter" enum:"callcenter" help:"What the files are: callcenter, one call a line, tab-separated with a header."`
	Speed    float64       `name:"speed" placeholder:"N" help:"In time, N times as fast as it happened: 60 plays an hour in a minute. Absent: as fast as it goes."`
	Now      bool          `name:"now" help:"Move the last day of the trace to today, and the days before it with it, keeping the time of the day. With --speed what has happened by now is posted at once, and the rest in time from now on."`
	TimeZone string        `name:"time-zone" default:"UTC" placeholder:"ZONE" help:"Zone of the clock times in the trace, such as Europe/Berlin. Where it is the workspace's, reports have the trace's days."`
	Objects  bool          `name:"objects" default:"true" negatable:"" help:"First write the customers and agents as objects, so that timelines have names."`
	URL      string        `name:"url" env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080" help:"Base address of Throughline."`
	Key      string        `name:"key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key with the scopes conversations:write and objects:write."`
	KeyFile  string        `name:"key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`
	Parallel int           `name:"parallel" default:"4" help:"Batches under way at once, 1 to 16."`
	Patience time.Duration `name:"give-up-after" default:"5m" help:"How long to try again while the server is busy or away and nothing gets through."`
}

// Deps are where a run reads and writes, and its clock.
type Deps struct {
	Stdin io.Reader
	// Progress receives lines for people.
	Progress io.Writer
	// Position is told the position of each batch that was accepted, unless it is nil. Calls come from several goroutines.
	Position func(string)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultConfig is what kong fills in where nothing is configured.
func DefaultConfig() Config {
	return Config{Format: "callcenter", TimeZone: "UTC", Objects: true, URL: client.DefaultURL, Parallel: 4, Patience: 5 * time.Minute}
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Files) == 0 {
		errs = append(errs, errors.New("there is no file to replay; - is standard input"))
	}
	for i, name := range c.Files {
		if slices.Contains(c.Files[:i], name) {
			errs = append(errs, fmt.Errorf("%s is named twice", name))
		}
	}
	return errors.Join(append(errs, c.how()...)...)
}

// how says everything that is wrong with how it is to be posted.
func (c Config) how() []error {
	var errs []error
	if _, err := client.ParseURL(c.URL); err != nil {
		errs = append(errs, err)
	}
	if c.Key == "" && c.KeyFile == "" {
		errs = append(errs, errors.New("an API key is required: --key, --key-file or THROUGHLINE_API_KEY"))
	}
	if !(c.Speed >= 0 && c.Speed <= maxSpeed) { // also refuses what is no number
		errs = append(errs, fmt.Errorf("--speed is %v, want more than 0 and at most %.0f, or nothing for as fast as it goes", c.Speed, maxSpeed))
	}
	if _, err := c.zone(); err != nil {
		errs = append(errs, err)
	}
	if c.Parallel < 1 || c.Parallel > maxParallel {
		errs = append(errs, fmt.Errorf("--parallel is %d, want 1 to %d", c.Parallel, maxParallel))
	}
	if c.Patience <= 0 {
		errs = append(errs, fmt.Errorf("--give-up-after is %s, want more than nothing", c.Patience))
	}
	return errs
}

func (c Config) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "Local" {
		return nil, fmt.Errorf("--time-zone %q is not a zone such as Europe/Berlin", c.TimeZone)
	}
	return zone, nil
}

// secret is the API key, read.
func (c Config) secret() (string, error) {
	return connect.Secret("THROUGHLINE_API_KEY", c.Key, c.KeyFile)
}
