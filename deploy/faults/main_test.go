package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/schematest"
)

// binaryVar tells tests where TestMain has put the binary.
const binaryVar = "THROUGHLINE_FAULTS_BINARY"

func TestMain(m *testing.M) {
	embedded.MaybeRunEngine() // a child must not build anything
	os.Exit(runAll(m))
}

// runAll builds the binary from the sources under test, unless one to be tested is named already, and runs the tests.
func runAll(m *testing.M) int {
	if os.Getenv(binaryVar) != "" {
		return schematest.Main(m)
	}
	dir, err := os.MkdirTemp("", "throughline-faults-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(filepath.Join(dir, "throughline"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		return 1
	}
	return schematest.Main(m)
}

func build(path string) error {
	command := exec.Command("go", "build", "-o", path, "../cmd/throughline")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return err
	}
	return os.Setenv(binaryVar, path)
}
