package schematest

import (
	"maps"
	"os"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/embedded"
)

// User and password of the doors of a SecureBroker that ask for them.
const (
	KafkaUser     = "throughline"
	KafkaPassword = "kafka-s3cret-of-a-test"
)

// SecureBroker is an Apache Kafka whose doors want what those of a company's cluster want.
type SecureBroker struct {
	// Authority signed the certificates of all doors, and the door Mutual wants a client's to be signed by it.
	Authority *Authority
	// Open is the door without encryption, TLS one with it, and Expired one whose certificate was valid until yesterday.
	// Password wants a user by PLAIN or SCRAM within TLS, PlainPassword one by SCRAM-SHA-512 without. Each is an address.
	Open, TLS, Mutual, Password, PlainPassword, Expired string
}

// SecureKafka starts an Apache Kafka with one broker for this test alone.
func SecureKafka(tb testing.TB) SecureBroker {
	tb.Helper()
	authority := NewAuthority(tb, "kafka")
	good := authority.Issue(tb, "broker", time.Now().Add(time.Hour))
	expired := authority.Issue(tb, "expired", time.Now().Add(-time.Hour))
	keystore := func(c Certificate, more map[string]string) map[string]string {
		properties := map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": c.PairFile}
		maps.Copy(properties, more)
		return properties
	}
	const module = "org.apache.kafka.common.security."
	scram := module + "scram.ScramLoginModule required;"
	server, err := embedded.StartApacheKafka(background(tb), embedded.ApacheKafkaOptions{
		DataDir: tb.TempDir(), Progress: os.Stderr, ShortLived: true,
		ScramUsers: map[string]string{KafkaUser: KafkaPassword},
		Listeners: []embedded.KafkaListener{
			{Name: "TLS", Protocol: "SSL", Properties: keystore(good, nil)},
			{Name: "MUTUAL", Protocol: "SSL", Properties: keystore(good, map[string]string{
				"ssl.client.auth": "required", "ssl.truststore.type": "PEM", "ssl.truststore.location": authority.File,
			})},
			{Name: "PASSWORD", Protocol: "SASL_SSL", Properties: keystore(good, map[string]string{
				"sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
				"plain.sasl.jaas.config":         module + `plain.PlainLoginModule required user_` + KafkaUser + `="` + KafkaPassword + `";`,
				"scram-sha-256.sasl.jaas.config": scram,
				"scram-sha-512.sasl.jaas.config": scram,
			})},
			{Name: "PLAINPASSWORD", Protocol: "SASL_PLAINTEXT", Properties: map[string]string{
				"sasl.enabled.mechanisms": "SCRAM-SHA-512", "scram-sha-512.sasl.jaas.config": scram,
			}},
			{Name: "EXPIRED", Protocol: "SSL", Properties: keystore(expired, nil)},
		},
	})
	if err != nil {
		missing(tb, "apache kafka", err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Errorf("close apache kafka: %v", err)
		}
	})
	return SecureBroker{
		Authority: authority, Open: server.Brokers[0], TLS: server.Doors["TLS"], Mutual: server.Doors["MUTUAL"],
		Password: server.Doors["PASSWORD"], PlainPassword: server.Doors["PLAINPASSWORD"], Expired: server.Doors["EXPIRED"],
	}
}
