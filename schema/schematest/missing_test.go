package schematest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// onClickHouse is the test that again runs.
const onClickHouse = "TestClickHouseGivesEachTestADatabaseOfItsOwn"

// again runs a test of this binary in a process of its own, on a machine that
// has no program to fetch or to run a server with.
func again(t *testing.T, env ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.v", "-test.run", "^"+onClickHouse+"$")
	cmd.Env = append(os.Environ(), "PATH=", "JAVA_HOME=", "THROUGHLINE_CACHE="+t.TempDir(),
		"KAFKA_BROKERS=", "CLICKHOUSE_ADDR=", "SERVERS=", "INTEGRATION=",
		"DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "docker.sock"))
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func TestAMissingServerSkipsWithTheReason(t *testing.T) {
	t.Parallel()
	output, err := again(t)
	if err != nil || !strings.Contains(output, "--- SKIP: "+onClickHouse) || !strings.Contains(output, "no ClickHouse on this machine") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestAMissingServerFailsWhereItIsRequired(t *testing.T) {
	t.Parallel()
	output, err := again(t, "INTEGRATION=required")
	if err == nil || !strings.Contains(output, "--- FAIL: "+onClickHouse) || !strings.Contains(output, "INTEGRATION=required") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestContainersThatAreMissingFailWhereTheyAreRequired(t *testing.T) {
	t.Parallel()
	output, err := again(t, "INTEGRATION=required", "SERVERS=docker")
	if err == nil || !strings.Contains(output, "no containers on this machine") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestAnUnknownKindOfServerFails(t *testing.T) {
	t.Parallel()
	output, err := again(t, "SERVERS=imaginary")
	if err == nil || !strings.Contains(output, "SERVERS=imaginary is not known") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestAServerThatIsNamedAndSilentFails(t *testing.T) {
	t.Parallel()
	// Port 1 of the loopback address answers nobody.
	output, err := again(t, "CLICKHOUSE_ADDR=127.0.0.1:1")
	if err == nil || !strings.Contains(output, "create database of test") {
		t.Errorf("%v:\n%s", err, output)
	}
}
