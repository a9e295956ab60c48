package table_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

var update = flag.Bool("update", false, "write the golden statements of a cluster")

func TestEveryMigrationHasAFormForAClusterThatTheServerUnderstands(t *testing.T) {
	t.Parallel()
	list, err := store.Migrations(table.Migrations())
	if err != nil {
		t.Fatal(err)
	}
	db := schematest.ClickHouse(t)
	conn, err := store.Open(t.Context(), store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	cluster := table.Cluster{Name: "main", Database: "throughline"}
	for _, m := range list {
		statements, err := cluster.Render(m.Statement)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		for _, s := range statements {
			var parsed string
			if err := conn.QueryRow(t.Context(), "SELECT formatQuerySingleLine($1)", s).Scan(&parsed); err != nil || !strings.Contains(parsed, "ON CLUSTER main") {
				t.Errorf("%s: the server reads %q: %v", m.Name, parsed, err)
			}
		}
		golden := filepath.Join("testdata", "cluster", m.Name)
		got := strings.Join(statements, ";\n\n") + ";\n"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s on a cluster; go test ./table -update writes it (-golden +now):\n%s", m.Name, diff)
		}
	}
}

func TestAlterationsReachBothTablesInTheOrderThatNeverNamesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	cluster := table.Cluster{Name: "c", Database: "d"}
	for statement, want := range map[string][]string{
		"-- Why.\nALTER TABLE timeline ADD COLUMN IF NOT EXISTS x String": {
			"ALTER TABLE timeline_local ON CLUSTER 'c' ADD COLUMN IF NOT EXISTS x String",
			"ALTER TABLE timeline ON CLUSTER 'c' ADD COLUMN IF NOT EXISTS x String",
		},
		"ALTER TABLE timeline DROP COLUMN IF EXISTS x": {
			"ALTER TABLE timeline ON CLUSTER 'c' DROP COLUMN IF EXISTS x",
			"ALTER TABLE timeline_local ON CLUSTER 'c' DROP COLUMN IF EXISTS x",
		},
		"ALTER TABLE event_log MODIFY SETTING index_granularity = 1": {
			"ALTER TABLE event_log_local ON CLUSTER 'c' MODIFY SETTING index_granularity = 1",
		},
		"DROP TABLE IF EXISTS objects": {
			"DROP TABLE IF EXISTS objects ON CLUSTER 'c' SYNC",
			"DROP TABLE IF EXISTS objects_local ON CLUSTER 'c' SYNC",
		},
	} {
		got, err := cluster.Render(statement)
		if err != nil {
			t.Errorf("%s: %v", statement, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", statement, diff)
		}
	}
}

func TestAStatementOfAnUnknownFormIsRefusedForACluster(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"a table without a sharding key": "CREATE TABLE IF NOT EXISTS other (n UInt8)\nENGINE = MergeTree\nORDER BY n\nSETTINGS non_replicated_deduplication_window = 1",
		"a table that knows no tokens":   "CREATE TABLE IF NOT EXISTS timeline (n UInt8)\nENGINE = MergeTree\nORDER BY n",
		"another engine":                 "CREATE TABLE IF NOT EXISTS timeline (n UInt8) ENGINE = Log",
		"a view":                         "CREATE VIEW IF NOT EXISTS v AS SELECT 1",
		"an alteration of another table": "ALTER TABLE other ADD COLUMN IF NOT EXISTS x String",
		"a mutation":                     "DELETE FROM timeline WHERE 1",
	} {
		if got, err := (table.Cluster{Name: "c", Database: "d"}).Render(statement); !errors.Is(err, table.ErrForm) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
