package conversation_test

import (
	"os"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
)

func TestMain(m *testing.M) {
	// The tests of kill -9 run this binary again as the process to be killed.
	if os.Getenv(childEnv) != "" {
		os.Exit(runChild())
	}
	os.Exit(schematest.Main(m))
}
