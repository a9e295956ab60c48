package docker

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/embedded"
)

var update = flag.Bool("update", false, "write the files that compose.yaml gives to ClickHouse")

// TestComposeGivesClickHouseTheUsersAndSettingsOfTheEmbeddedOne compares files that Compose can read with what the code
// makes them of.
func TestComposeGivesClickHouseTheUsersAndSettingsOfTheEmbeddedOne(t *testing.T) {
	t.Parallel()
	files, err := embedded.ClickHouseContainerFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"config.xml": files.Config, "users.xml": files.Users} {
		path := filepath.Join("clickhouse", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s differs (go test ./docker -update writes it; -want +got):\n%s", path, diff)
		}
	}
}
