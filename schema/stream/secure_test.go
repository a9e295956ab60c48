package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/tlsdial"
	"github.com/throughline/throughline/schema/topic"
)

// doors are what the subtests know of the one broker with TLS and passwords.
type doors struct {
	schematest.SecureBroker

	// stranger is an authority that did not sign anything of the broker.
	stranger *schematest.Authority
	// mine and old are certificates that the broker trusts, one of them until yesterday.
	mine, old schematest.Certificate
}

// otherPassword is one that no door takes.
const otherPassword = "another-s3cret"

// The start of an Apache Kafka with all these doors takes seconds, so it is one for all of this.
func TestAgainstABrokerWithTLSAndPasswords(t *testing.T) {
	t.Parallel()
	broker := schematest.SecureKafka(t)
	d := doors{
		SecureBroker: broker, stranger: schematest.NewAuthority(t, "stranger"),
		mine: broker.Authority.Issue(t, "client", time.Now().Add(time.Hour)),
		old:  broker.Authority.Issue(t, "old-client", time.Now().Add(-time.Hour)),
	}
	t.Run("right credentials produce and consume", d.admit)
	t.Run("anything else is named and stops", d.refuse)
	t.Run("files that were replaced count for the next connection", d.rotate)
}

// tls trusts the broker's authority, and shows a certificate if there is one.
func (d doors) tls(certificate ...schematest.Certificate) tlsdial.Config {
	c := tlsdial.Config{Enabled: true, CAFile: d.Authority.File}
	for _, own := range certificate {
		c.CertFile, c.KeyFile = own.CertFile, own.KeyFile
	}
	return c
}

func user(mechanism, password string) stream.SASL {
	return stream.SASL{Mechanism: mechanism, User: schematest.KafkaUser, Password: password}
}

func door(t *testing.T, addr string, secured tlsdial.Config, sasl stream.SASL) stream.Config {
	t.Helper()
	cfg := config(t, []string{addr})
	cfg.TLS, cfg.SASL = secured, sasl
	return cfg
}

func (d doors) admit(t *testing.T) {
	t.Parallel()
	none, right := stream.SASL{}, schematest.KafkaPassword
	for name, at := range map[string]struct {
		addr    string
		secured tlsdial.Config
		sasl    stream.SASL
	}{
		"tls":                       {d.TLS, d.tls(), none},
		"tls with a certificate":    {d.Mutual, d.tls(d.mine), none},
		"tls and plain":             {d.Password, d.tls(), user(stream.SASLPlain, right)},
		"tls and scram-sha-256":     {d.Password, d.tls(), user(stream.SASLScramSHA256, right)},
		"tls and scram-sha-512":     {d.Password, d.tls(), user(stream.SASLScramSHA512, right)},
		"scram-sha-512 without tls": {d.PlainPassword, tlsdial.Config{}, user(stream.SASLScramSHA512, right)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := door(t, at.addr, at.secured, at.sasl)
			cluster, err := stream.Ask(t.Context(), cfg, deps(t).Log)
			if err != nil || cluster.ID == "" || cluster.Brokers != 1 {
				t.Fatalf("ask: %+v, %v", cluster, err)
			}
			ensureTopics(t, cfg, specs(1))
			put(t, cfg, inputs, 0, 0, 3)
			if got := read(t, cfg, inputs, 3); got != "v0 v1 v2" {
				t.Errorf("read %s", got)
			}
		})
	}
}

// read reads the values of the first records of a topic.
func read(t *testing.T, cfg stream.Config, name topic.Name, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader := client(t, cfg, kgo.ConsumeTopics(cfg.Topic(name)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var values []string
	for len(values) < n {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			values = append(values, string(r.Value))
		}
	}
	return strings.Join(values, " ")
}

func (d doors) refuse(t *testing.T) {
	t.Parallel()
	none, open := stream.SASL{}, tlsdial.Config{}
	for name, at := range map[string]struct {
		addr    string
		secured tlsdial.Config
		sasl    stream.SASL
		want    string
	}{
		"a wrong password by plain":         {d.Password, d.tls(), user(stream.SASLPlain, otherPassword), "wrong user or password"},
		"a wrong password by scram-sha-256": {d.Password, d.tls(), user(stream.SASLScramSHA256, otherPassword), "wrong user or password"},
		"a wrong password by scram-sha-512": {d.Password, d.tls(), user(stream.SASLScramSHA512, otherPassword), "wrong user or password"},
		"a mechanism that is not offered": {
			d.PlainPassword, open, user(stream.SASLScramSHA256, schematest.KafkaPassword), "does not offer this mechanism",
		},
		"no password": {d.Password, d.tls(), none, "hangs up"},
		"a password where none is wanted": {
			d.TLS, d.tls(), user(stream.SASLPlain, schematest.KafkaPassword), "does not expect it on this port",
		},
		"another authority":        {d.TLS, tlsdial.Config{Enabled: true, CAFile: d.stranger.File}, none, "signed by nobody in the CA file"},
		"the system's authorities": {d.TLS, tlsdial.Config{Enabled: true}, none, "signed by nobody in the CA file"},
		"another name": {
			d.TLS, tlsdial.Config{Enabled: true, CAFile: d.Authority.File, ServerName: "kafka.example"}, none, "has another name",
		},
		"an expired certificate":         {d.Expired, d.tls(), none, "the server's certificate is valid from"},
		"no certificate of ours":         {d.Mutual, d.tls(), none, "wants a certificate of this process"},
		"an expired certificate of ours": {d.Mutual, d.tls(d.old), none, "wants a certificate of this process"},
		"plaintext to a door with tls":   {d.TLS, open, none, "the server wants TLS"},
		"tls to a door without":          {d.Open, d.tls(), none, "hangs up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
			_, err := stream.Ask(t.Context(), door(t, at.addr, at.secured, at.sasl), log)
			// A broker that hangs up could be one that is starting, so it is for its caller to give up.
			stops := problem.KindOf(err) == problem.Stop || errors.Is(err, tlsdial.ErrHungUp)
			if err == nil || !stops || !strings.Contains(err.Error(), at.want) {
				t.Fatalf("%v (%s), want one that stops and says: %s", err, problem.KindOf(err), at.want)
			}
			for _, secret := range []string{schematest.KafkaPassword, otherPassword} {
				if strings.Contains(err.Error()+said.String(), secret) {
					t.Errorf("the password is told: %v; log: %s", err, said.String())
				}
			}
		})
	}
}

func (d doors) rotate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	current := tlsdial.Config{
		Enabled: true, CAFile: filepath.Join(dir, "ca.pem"),
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
	}
	replace := func(ca string) {
		for to, from := range map[string]string{current.CAFile: ca, current.CertFile: d.mine.CertFile, current.KeyFile: d.mine.KeyFile} {
			data, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(d.stranger.File)
	cl := client(t, door(t, d.Mutual, current, stream.SASL{}))
	if err := cl.Ping(t.Context()); err == nil {
		t.Fatal("a broker that an unknown authority vouches for is trusted")
	}
	replace(d.Authority.File)
	if err := cl.Ping(t.Context()); err != nil {
		t.Errorf("the same client after its files were replaced: %v", err)
	}
}

func TestABrokerThatIsAwayIsWorthWaitingFor(t *testing.T) {
	t.Parallel()
	cfg := config(t, []string{"127.0.0.1:1"})
	if _, err := stream.Ask(t.Context(), cfg, deps(t).Log); problem.KindOf(err) != problem.Retry {
		t.Errorf("%v is classed %s", err, problem.KindOf(err))
	}
}

func TestConfigNamesEveryProblemOfTLSAndSASL(t *testing.T) {
	t.Parallel()
	base := stream.Config{Brokers: []string{"a:1"}, ClientID: "c", Prefix: "p"}
	for want, change := range map[string]func(*stream.Config){
		"needs TLS to be turned on":       func(c *stream.Config) { c.TLS.CAFile = "x" },
		"read CA file":                    func(c *stream.Config) { c.TLS = tlsdial.Config{Enabled: true, CAFile: "/no/such/file"} },
		"name both files or none":         func(c *stream.Config) { c.TLS = tlsdial.Config{Enabled: true, CertFile: "x"} },
		"is none of PLAIN":                func(c *stream.Config) { c.SASL = stream.SASL{Mechanism: "GSSAPI", User: "u", Password: "p"} },
		"in the clear":                    func(c *stream.Config) { c.SASL = stream.SASL{Mechanism: "PLAIN", User: "u", Password: "p"} },
		"needs a SASL mechanism":          func(c *stream.Config) { c.SASL.User = "u" },
		"kafka user is missing":           func(c *stream.Config) { c.SASL.Mechanism = stream.SASLScramSHA512 },
		"kafka password is missing":       func(c *stream.Config) { c.SASL = stream.SASL{Mechanism: stream.SASLScramSHA512, User: "u"} },
		"a certificate and its key go to": func(c *stream.Config) { c.TLS = tlsdial.Config{Enabled: true, KeyFile: "x"} },
	} {
		cfg := base
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
