package embedded_test

import (
	"testing"
	"github.com/throughline/throughline/schema/embedded"
	"os"
)

func TestMain(m *testing.M) {
	embedded.MaybeRunEngine()
	os.Exit(m.Run())
}
