// Package send streams files of newline-delimited JSON into a running Throughline: any size, a bounded amount of
// memory, several batches under way, and a place to go on from when it is cut off.
//
// Lines are spread over the batches under way by the object that they are about, so that the events of one object
// arrive in the order of the file. Objects are sent one batch after the other: their external ids and relations depend
// on each other across objects.
package send

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/schema/event"
)

// Stdin is the name of standard input among the files.
const Stdin = "-"

// Names of what is written beside an input, without --state and --refused.
const (
	stateSuffix   = ".throughline-progress"
	refusedSuffix = ".refused.ndjson"
)

// maxParallel bounds the batches under way; the edge takes eight of the largest at once.
const maxParallel = 16

// Config says what to send, and where. The tags are kong's.
type Config struct {
	Files    []string      `arg:"" name:"file" help:"Files of NDJSON, one event a line; - is standard input."`
	Objects  bool          `name:"objects" help:"The lines are objects, not events."`
	URL      string        `name:"url" env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080" help:"Base address of Throughline."`
	Key      string        `name:"key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key with the scope events:write, or objects:write."`
	KeyFile  string        `name:"key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`
	Parallel int           `name:"parallel" default:"4" help:"Batches of events under way at once, 1 to 16; objects always go one by one."`
	Patience time.Duration `name:"give-up-after" default:"5m" help:"How long to try again while the server is busy or away and nothing gets through."`

	State   string `name:"state" placeholder:"FILE" help:"Where to note how far a file was sent; absent: FILE.throughline-progress beside it."`
	Restart bool   `name:"restart" help:"Begin at the first line, whatever was noted."`
	Refused string `name:"refused" placeholder:"FILE" help:"Where to write what was refused; absent: FILE.refused.ndjson beside it."`

	PrintPosition bool `name:"print-position" help:"Print the position of each batch that was accepted, one a line, for reads that shall show it."`
}

// Deps are where a run reads and writes. Progress and the summary go to Stderr, positions to Stdout.
type Deps struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Totals are how many lines were accepted and refused, in this run and the ones that it went on from.
type Totals struct {
	Accepted, Refused int64
}

// limits bound a batch and a run. Tests make them small.
type limits struct {
	// lines and bytes bound a batch.
	lines int
	bytes int
	// linger is how long a line waits for others at most.
	linger time.Duration
	// save is how often it is noted how far the file was sent: what comes after is sent again once the process was
	// killed.
	save time.Duration
	// grace is what batches under way get to be answered once the run was interrupted.
	grace time.Duration
}

func standardLimits() limits {
	return limits{
		lines: event.MaxBatchItems,
		// Half of what the server takes: a batch must also arrive within its timeout over a slow line.
		bytes:  event.MaxBatchBytes / 2,
		linger: 200 * time.Millisecond,
		save:   250 * time.Millisecond,
		grace:  3 * time.Second,
	}
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, err := client.ParseURL(c.URL); err != nil {
		errs = append(errs, err)
	}
	if c.Key == "" && c.KeyFile == "" {
		errs = append(errs, errors.New("an API key is required: --key, --key-file or THROUGHLINE_API_KEY"))
	}
	if c.Parallel < 1 || c.Parallel > maxParallel {
		errs = append(errs, fmt.Errorf("--parallel is %d, want 1 to %d", c.Parallel, maxParallel))
	}
	if c.Patience <= 0 {
		errs = append(errs, fmt.Errorf("--give-up-after is %s, want more than nothing", c.Patience))
	}
	if len(c.Files) == 0 {
		errs = append(errs, errors.New("there is no file to send; - is standard input"))
	}
	for i, name := range c.Files {
		switch {
		case name == "":
			errs = append(errs, errors.New("a file must have a name; - is standard input"))
		case slices.Contains(c.Files[:i], name):
			errs = append(errs, fmt.Errorf("%s is named twice", name))
		case name == c.State || name == c.Refused:
			errs = append(errs, fmt.Errorf("%s cannot be read and written at once", name))
		}
	}
	if len(c.Files) > 1 && c.State+c.Refused != "" {
		errs = append(errs, errors.New("--state and --refused are for one file"))
	}
	if c.State != "" && c.State == c.Refused {
		errs = append(errs, errors.New("--state and --refused must differ"))
	}
	if c.State != "" && slices.Contains(c.Files, Stdin) {
		errs = append(errs, errors.New("--state is for files: standard input cannot be resumed"))
	}
	return errors.Join(errs...)
}

func (c Config) kind() string {
	if c.Objects {
		return "objects"
	}
	return "events"
}

// workers is how many batches are under way at once.
func (c Config) workers() int {
	if c.Objects {
		return 1
	}
	return c.Parallel
}

// path is the address of a batch, relative to the base address.
func (c Config) path() string {
	return "v1/" + c.kind() + "/batch?" + url.Values{"results": {"rejected"}}.Encode()
}

// secret is the API key, read.
func (c Config) secret() (string, error) {
	return connect.Secret("THROUGHLINE_API_KEY", c.Key, c.KeyFile)
}
