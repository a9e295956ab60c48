package main

import (
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
)

func TestCheckSaysWhatIsThereAndWhatIsMissing(t *testing.T) {
	db := schematest.ClickHouse(t)
	t.Setenv("KAFKA_BROKERS", strings.Join(schematest.Kfake(t), ","))
	t.Setenv("THROUGHLINE_PREFIX", strings.TrimSuffix(schematest.Prefix(t), "."))
	t.Setenv("THROUGHLINE_REPLICATION", "1")
	t.Setenv("THROUGHLINE_PARTITIONS", "2")
	t.Setenv("THROUGHLINE_MASTER_KEY", masterKey)
	t.Setenv("CLICKHOUSE_ADDR", db.Addr)
	t.Setenv("CLICKHOUSE_DATABASE", db.Database)
	t.Setenv("CLICKHOUSE_USER", db.User)
	t.Setenv("CLICKHOUSE_PASSWORD", db.Password)
	for _, step := range []struct {
		args []string
		code int
		says []string
	}{
		{
			[]string{"projector", "--check"},
			1,
			[]string{"ok    kafka", "FAIL  topics", "throughline topics", "ok    clickhouse", "FAIL  tables", "throughline migrate"},
		},
		{[]string{"topics"}, 0, nil},
		{[]string{"migrate"}, 0, nil},
		{
			[]string{"projector", "--check"},
			0,
			[]string{"ok    topics", "with 2 partitions", "ok    groups", "ok    master key", "ok    clickhouse", "ok    tables"},
		},
		{[]string{"ingest", "--check"}, 0, []string{"ok    groups", "ok    master key"}},
		{[]string{"query", "--check"}, 0, []string{"ok    kafka", "ok    tables"}},
		{[]string{"query", "--check", "--brokers", "127.0.0.1:1"}, 1, []string{"FAIL  kafka", "connection refused", "ok    tables"}},
	} {
		code, stdout, stderr := runCommand(t, step.args...)
		if code != step.code {
			t.Errorf("%v: exit code %d\n%s\n%s", step.args, code, stdout, stderr)
		}
		for _, want := range step.says {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v does not say %q:\n%s", step.args, want, stdout)
			}
		}
		if strings.Contains(stdout+stderr, masterKey) || strings.Contains(stdout+stderr, db.Password) {
			t.Errorf("%v tells a secret:\n%s\n%s", step.args, stdout, stderr)
		}
	}
}
