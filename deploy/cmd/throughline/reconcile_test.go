package main

import (
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
)

func TestReconcileAndRebuildTellDifferencesFromErrorsByTheirExitCodes(t *testing.T) {
	db := schematest.ClickHouse(t)
	for name, value := range map[string]string{
		"KAFKA_BROKERS": strings.Join(schematest.Kfake(t), ","), "THROUGHLINE_PREFIX": strings.TrimSuffix(schematest.Prefix(t), "."),
		"THROUGHLINE_REPLICATION": "1", "THROUGHLINE_PARTITIONS": "1", "THROUGHLINE_MASTER_KEY": masterKey,
		"CLICKHOUSE_ADDR": db.Addr, "CLICKHOUSE_DATABASE": db.Database, "CLICKHOUSE_USER": db.User, "CLICKHOUSE_PASSWORD": db.Password,
	} {
		t.Setenv(name, value)
	}
	plant := func() {
		conn, err := store.Open(t.Context(), store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), "INSERT INTO timeline (workspace, _topic, _partition, _offset) VALUES ('ws', 'another', 3, 7)"); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, step := range []struct {
		before func()
		args   []string
		code   int
		says   string
	}{
		{nil, []string{"topics"}, 0, ""},
		{nil, []string{"reconcile"}, 1, "timeline"}, // there are no tables yet
		{nil, []string{"migrate"}, 0, ""},
		{nil, []string{"reconcile"}, 0, "nothing differs"},
		{nil, []string{"reconcile", "--table", "orders"}, 1, `no table "orders"`},
		{nil, []string{"reconcile", "--last=-1"}, 2, "--last must not be negative"},
		{plant, []string{"reconcile", "--table", "timeline"}, 4, "timeline: 1 rows extra at another/3 [7, 8)"},
		{nil, []string{"reconcile", "--json"}, 4, `"extra": 1`},
		{nil, []string{"reconcile", "--table", "objects"}, 0, "nothing differs"},
		// What no record gives is not in a table that is made again.
		{nil, []string{"rebuild", "--table", "timeline", "--clickhouse-cluster", "c"}, 2, "tables of a cluster"},
		{nil, []string{"rebuild", "--table", "timeline"}, 0, "timeline_g2"},
		{nil, []string{"reconcile"}, 0, "nothing differs"},
		{nil, []string{"rebuild", "drop"}, 0, "dropped timeline_g2"},
		{nil, []string{"rebuild", "drop"}, 0, "there is no former table"},
	} {
		if step.before != nil {
			step.before()
		}
		code, stdout, stderr := runCommand(t, step.args...)
		if code != step.code || !strings.Contains(stdout+stderr, step.says) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s\n%s", step.args, code, step.code, step.says, stdout, stderr)
		}
	}
}
