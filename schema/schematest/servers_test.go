package schematest_test

import (
	"os"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/schematest"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

func TestClickHouseGivesEachTestADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := schematest.ClickHouse(t), schematest.ClickHouse(t)
	if one.Database == two.Database {
		t.Fatalf("both databases are %s", one.Database)
	}
	if one.Addr != two.Addr {
		t.Errorf("servers are %s and %s, want one server", one.Addr, two.Addr)
	}
	for _, db := range []schematest.DB{one, two} {
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{db.Addr},
			Auth: clickhouse.Auth{Username: db.User, Password: db.Password, Database: db.Database},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), "CREATE TABLE same (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
			t.Errorf("create table in %s: %v", db.Database, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
