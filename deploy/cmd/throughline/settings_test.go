package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/deploy/dev"
	"github.com/throughline/throughline/schema/schematest"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

// masterKey is well formed.
const masterKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// run runs a command line and returns what it said.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

func TestTheDefaultsOfFlagsAreThoseOfTheServices(t *testing.T) {
	t.Parallel()
	var cli commands
	parser, err := newParser(&cli, kong.Writers(new(bytes.Buffer), new(bytes.Buffer)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"dev"}); err != nil {
		t.Fatal(err)
	}
	want := dev.DefaultTuning()
	want.Link.Instance, want.Projector.Dir = "", "" // the program's, not a flag's
	if diff := cmp.Diff(want, cli.Dev.Tuning); diff != "" {
		t.Errorf("defaults (-service +flags):\n%s", diff)
	}
}

func TestPrintConfigSaysWhereEachValueComesFromAndNoSecret(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("file-s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KAFKA_BROKERS", "a:1,b:2")
	t.Setenv("CLICKHOUSE_PASSWORD_FILE", password)
	t.Setenv("THROUGHLINE_MASTER_KEY", masterKey)
	t.Setenv("THROUGHLINE_PROJECTOR_BATCH_BYTES", "8MiB")
	code, stdout, stderr := runCommand(t, "projector", "--print-config", "--clickhouse-addr", "ch:9000", "--prefix", "it's")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, line := range []string{
		"KAFKA_BROKERS=a:1,b:2  # environment",
		"CLICKHOUSE_ADDR=ch:9000  # flag --clickhouse-addr",
		`THROUGHLINE_PREFIX='it'\''s'  # flag --prefix`,
		"THROUGHLINE_PROJECTOR_BATCH_BYTES=8MiB  # environment",
		"THROUGHLINE_PROJECTOR_BATCH_AGE=200ms  # default",
		"# THROUGHLINE_MASTER_KEY=(hidden)  # environment",
		"# CLICKHOUSE_PASSWORD=(hidden)  # file " + password,
	} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("no line %s in\n%s", line, stdout)
		}
	}
	if strings.Contains(stdout, masterKey) || strings.Contains(stdout, "file-s3cret") {
		t.Errorf("a secret is told:\n%s", stdout)
	}
}

func TestPrintConfigPrintsListsAsTheyAreRead(t *testing.T) {
	args := []string{"dispatcher", "--print-config", "--webhook-ports", "443,8443", "--webhook-allow", "10.1.0.0/16:*,[fd00::/8]:443"}
	_, stdout, _ := runCommand(t, args...)
	for _, want := range []string{"THROUGHLINE_WEBHOOK_PORTS=443,8443  #", "THROUGHLINE_WEBHOOK_ALLOW='[10.1.0.0/16]:*,[fd00::/8]:443'  #"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	t.Setenv("THROUGHLINE_WEBHOOK_ALLOW", "[10.1.0.0/16]:*,[fd00::/8]:443")
	if _, again, _ := runCommand(t, args[:4]...); !strings.Contains(again, "THROUGHLINE_WEBHOOK_ALLOW='[10.1.0.0/16]:*,[fd00::/8]:443'  # environment") {
		t.Errorf("what was printed is read otherwise:\n%s", again)
	}
}

func TestPrintConfigPrintsAlsoWhatIsWrong(t *testing.T) {
	code, stdout, stderr := runCommand(t, "query", "--print-config", "--query-max-time", "1ms")
	if code != exitUsage || !strings.Contains(stdout, "THROUGHLINE_QUERY_MAX_TIME=1ms  # flag") || !strings.Contains(stderr, "no Kafka brokers") {
		t.Errorf("exit code %d, %s, %s", code, stdout, stderr)
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	code, _, stderr := runCommand(t, "projector", "--clickhouse-addr", "nowhere", "--clickhouse-ca-file", "x",
		"--projector-batch-rows", "0", "--projector-batch-age", "1h")
	if code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"no Kafka brokers", `"nowhere" is not host:port`, "needs TLS to be turned on", "no master key",
		"batch rows are 0, want 1 to 500000", "batch age is 1h0m0s, want 0 to 10s",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not said:\n%s", want, stderr)
		}
	}
}

func TestSecretsOfServicesAreRefusedOnTheCommandLine(t *testing.T) {
	for flag, env := range map[string]string{
		"--master-key": "THROUGHLINE_MASTER_KEY", "--kafka-sasl-password": "KAFKA_SASL_PASSWORD",
		"--clickhouse-password": "CLICKHOUSE_PASSWORD",
	} {
		t.Setenv("THROUGHLINE_MASTER_KEY", masterKey)
		code, _, stderr := runCommand(t, "projector", "--brokers", "a:1", "--clickhouse-addr", "a:1",
			"--kafka-sasl-mechanism", "SCRAM-SHA-512", "--kafka-sasl-user", "u", "--kafka-sasl-password-file", "settings.go", flag, masterKey)
		if code != exitUsage || !strings.Contains(stderr, env) || strings.Contains(stderr, masterKey) {
			t.Errorf("%s: exit code %d: %s", flag, code, stderr)
		}
	}
}

func TestSizesHaveUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"0": 0, "4096": 4096, "8MiB": 8 << 20, "8 MiB": 8 << 20, "1_000": 1000, "3kB": 3000, "2GB": 2e9, "1TiB": 1 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "8mib", "-1", "1.5GiB", "8XB", "99999999999999999999", "9999999TiB", "１"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was taken for %d", text, got)
		}
	}
	for n, want := range map[uint64]string{0: "0", 1000: "1000", 1024: "1KiB", 192 << 20: "192MiB", 4 << 30: "4GiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
