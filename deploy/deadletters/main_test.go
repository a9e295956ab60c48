package deadletters

import (
	"os"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }
