package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
)

// The variables of the operator's page, against an Apache Kafka that wants TLS and a password.
func TestCommandsLogInThroughTLSAndServicesStopAtAWrongPassword(t *testing.T) {
	broker := schematest.SecureKafka(t)
	secret := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right, wrong := secret("right", schematest.KafkaPassword), secret("wrong", "another-s3cret")
	for name, value := range map[string]string{
		"KAFKA_BROKERS": broker.Password, "KAFKA_TLS": "true", "KAFKA_CA_FILE": broker.Authority.File,
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USER": schematest.KafkaUser, "KAFKA_SASL_PASSWORD_FILE": right,
		"THROUGHLINE_PARTITIONS": "1", "THROUGHLINE_REPLICATION": "1", "THROUGHLINE_MASTER_KEY": masterKey,
		"THROUGHLINE_VIEWS": t.TempDir(), "THROUGHLINE_ADMIN_LISTEN": "127.0.0.1:0", "THROUGHLINE_LISTEN": "127.0.0.1:0",
	} {
		t.Setenv(name, value)
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		// To make all topics would take longer than all the rest; that they can be made is schema/stream's to show.
		{[]string{"ingest", "--check"}, 1, "with 1 brokers answers\nFAIL  topics"},
		{[]string{"ingest", "--check", "--kafka-sasl-password-file", wrong}, 1, "FAIL  kafka"},
		{[]string{"ingest", "--kafka-sasl-password-file", wrong}, 1, "wrong user or password"},
		{[]string{"topics", "--kafka-ca-file", right}, 2, "holds no certificate"},
	} {
		code, stdout, stderr := runCommand(t, step.args...)
		if said := stdout + stderr; code != step.code || !strings.Contains(said, step.says) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", step.args, code, step.code, step.says, said)
		}
		if strings.Contains(stdout+stderr, schematest.KafkaPassword) || strings.Contains(stdout+stderr, "another-s3cret") {
			t.Errorf("%v tells a password:\n%s%s", step.args, stdout, stderr)
		}
	}
}
