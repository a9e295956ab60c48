package listen

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/throughline/throughline/deploy/client"
	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/schema/webhook"
)

// maxDelay bounds Config.Delay; the dispatcher waits for 15 s at most.
const maxDelay = time.Minute

// Config says what to listen to and how to answer. The tags are kong's.
type Config struct {
	URL     string `name:"url" env:"THROUGHLINE_URL" default:"http://127.0.0.1:8080" help:"Base address of Throughline."`
	Key     string `name:"key" env:"THROUGHLINE_API_KEY" secret:"" help:"API key with the scope webhooks:write."`
	KeyFile string `name:"key-file" env:"THROUGHLINE_API_KEY_FILE" placeholder:"FILE" help:"File that holds the API key."`

	Listen    string `name:"listen" default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where to receive, host:port; port 0 is a free one."`
	PublicURL string `name:"public-url" placeholder:"URL" help:"Where Throughline reaches it, such as the address of a tunnel; absent: the address that it listens at."`

	Events []string `name:"events" placeholder:"TYPE" help:"Types of events to be told of, separated by commas; absent: all."`
	Filter string   `name:"filter" placeholder:"CEL" help:"Expression over type and data that is true for what is to be told."`
	Teams  []string `name:"teams" placeholder:"TEAM" help:"Only of these teams, separated by commas."`

	JSON  bool `name:"json" help:"Print each delivery as one JSON object a line."`
	Count int  `name:"count" short:"n" placeholder:"N" help:"End after so many deliveries; absent: with Ctrl-C."`

	Fail     int           `name:"fail" placeholder:"STATUS" help:"Answer with this status instead of 200: every delivery, or those of --fail-rate."`
	FailRate float64       `name:"fail-rate" placeholder:"SHARE" help:"Share of deliveries to fail, 0 to 1; with status 500 unless --fail names another."`
	Delay    time.Duration `name:"delay" placeholder:"TIME" help:"Wait so long before each answer, at most 1m."`
	Drop     float64       `name:"drop" placeholder:"SHARE" help:"Share of deliveries whose connection is closed without an answer, 0 to 1."`
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
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("--public-url is %q, want an address such as https://example.com/hooks", c.PublicURL))
		}
	}
	for _, name := range c.Events {
		if _, known := webhook.ParseEventType(name); !known {
			errs = append(errs, fmt.Errorf("--events: there is no type %q", name))
		}
	}
	if c.Count < 0 {
		errs = append(errs, fmt.Errorf("--count is %d, want 1 or more", c.Count))
	}
	if c.Fail != 0 && (c.Fail < http.StatusMultipleChoices || c.Fail > 599) {
		errs = append(errs, fmt.Errorf("--fail is %d, want a status from 300 to 599", c.Fail))
	}
	for name, share := range map[string]float64{"--fail-rate": c.FailRate, "--drop": c.Drop} {
		if !(share >= 0 && share <= 1) {
			errs = append(errs, fmt.Errorf("%s is %g, want 0 to 1", name, share))
		}
	}
	if c.Delay < 0 || c.Delay > maxDelay {
		errs = append(errs, fmt.Errorf("--delay is %s, want at most %s", c.Delay, maxDelay))
	}
	return errors.Join(errs...)
}

// secret is the API key, read.
func (c Config) secret() (string, error) {
	return connect.Secret("THROUGHLINE_API_KEY", c.Key, c.KeyFile)
}

// failing gives the status of a failure and the share of deliveries that fail.
func (c Config) failing() (status int, share float64) {
	switch {
	case c.Fail == 0:
		return http.StatusInternalServerError, c.FailRate
	case c.FailRate == 0:
		return c.Fail, 1
	default:
		return c.Fail, c.FailRate
	}
}
