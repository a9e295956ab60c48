// Package tail prints events as they are linked.
//
// It asks the event log again and again, newest first, down to what it has printed already. Events are stored out of
// the order in which they were received, by a moment as a rule; so from time to time it looks further back, as far as
// an event may be late, for those that came in behind. What was printed is remembered for as long.
package tail

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// maxLast bounds how many events are printed that are there at the start.
const maxLast = 10_000

// Bounds of Config.Late.
const (
	minLate = time.Second
	maxLate = 24 * time.Hour
)

// Config says which events to print. The tags are kong's.
type Config struct {
	URL     string `name:"url" env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080" help:"Base address of Throughline."`
	Key     string `name:"key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key with the scope read."`
	KeyFile string `name:"key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`

	ObjectTypes []string `name:"object-type" sep:"none" placeholder:"TYPE" help:"Only events of objects of this type; may be repeated."`
	ObjectIDs   []string `name:"object-id" sep:"none" placeholder:"ID" help:"Only events of this object; may be repeated."`
	Names       []string `name:"name" sep:"none" placeholder:"NAME" help:"Only events of this name; may be repeated."`

	Last   int           `name:"last" short:"n" default:"10" help:"How many of those that are there to print first, up to 10,000."`
	Follow bool          `name:"follow" default:"true" negatable:"" help:"Go on until Ctrl-C."`
	JSON   bool          `name:"json" help:"Print each event as the event log has it, one JSON object a line."`
	Late   time.Duration `name:"late" default:"1m" help:"How long after it was received an event may be stored and still be printed, 1s to 24h."`
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
	for _, t := range c.ObjectTypes {
		if _, err := object.ParseType(t); err != nil {
			errs = append(errs, fmt.Errorf("--object-type: %w", err))
		}
	}
	if c.Last < 0 || c.Last > maxLast {
		errs = append(errs, fmt.Errorf("--last is %d, want 0 to %d", c.Last, maxLast))
	}
	if c.Late < minLate || c.Late > maxLate {
		errs = append(errs, fmt.Errorf("--late is %s, want %s to %s", c.Late, minLate, maxLate))
	}
	return errors.Join(errs...)
}

// Deps are where events are printed, and where it is said that they cannot be read for a while.
type Deps struct {
	Stdout, Stderr io.Writer
}

// secret is the API key, read.
func (c Config) secret() (string, error) {
	return connect.Secret("THROUGHLINE_API_KEY", c.Key, c.KeyFile)
}

// query are the parameters that choose events.
func (c Config) query() url.Values {
	return url.Values{
		"processingStatus": {string(event.StatusLinked)},
		"objectType":       c.ObjectTypes,
		"objectId":         c.ObjectIDs,
		"name":             c.Names,
	}
}
