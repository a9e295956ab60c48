package stream

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Mechanisms of SASL.
const (
	SASLPlain       = "PLAIN"
	SASLScramSHA256 = "SCRAM-SHA-256"
	SASLScramSHA512 = "SCRAM-SHA-512"
)

// SASL is how this process proves to the brokers who it is; its zero value is not at all.
type SASL struct {
	// Mechanism is one of the constants. PLAIN sends the password itself, so it needs TLS.
	Mechanism string
	User      string
	Password  string
}

// validate says everything that is wrong, without the password.
func (s SASL) validate(encrypted bool) error {
	var errs []error
	switch s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" {
			return errors.New("a kafka user or password needs a SASL mechanism")
		}
		return nil
	case SASLPlain:
		if !encrypted {
			errs = append(errs, errors.New("kafka SASL mechanism PLAIN would send the password in the clear: turn TLS on, or use SCRAM-SHA-512"))
		}
	case SASLScramSHA256, SASLScramSHA512:
	default:
		errs = append(errs, fmt.Errorf("kafka SASL mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.Mechanism))
	}
	if s.User == "" {
		errs = append(errs, errors.New("kafka user is missing"))
	}
	if s.Password == "" {
		errs = append(errs, errors.New("kafka password is missing"))
	}
	return errors.Join(errs...)
}

func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case SASLPlain:
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()
	case SASLScramSHA256:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()
	case SASLScramSHA512:
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()
	default:
		return nil
	}
}

// secureOptions say how connections are opened, and as whom.
func (c Config) secureOptions() []kgo.Opt {
	// The dialer bounds itself, so that a failover does not outlast a session timeout: kgo.DialTimeout is for others.
	opts := []kgo.Opt{kgo.Dialer(c.TLS.DialContext)}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts
}
