package embedded_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/embedded"
)

// Codes of ClickHouse's errors.
const (
	readonlyCode     = 164
	constraintCode   = 452
	accessDeniedCode = 497
	authFailedCode   = 516
	noDatabaseCode   = 81
	tooManyRowsCode  = 158
)

func TestAReaderReadsAndDoesNothingElse(t *testing.T) {
	t.Parallel()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: t.TempDir()})
	writer := open(t, server.Addr, server.User, server.Password)
	exec1(t, writer, "CREATE DATABASE d")
	exec1(t, writer, "CREATE TABLE d.facts (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, writer, "INSERT INTO d.facts SELECT number FROM numbers(10)")
	reader := open(t, server.Addr, server.ReadUser, server.ReadPassword)

	plain := func(t *testing.T) context.Context {
		t.Helper()
		return t.Context()
	}
	// The driver makes a deadline a max_execution_time.
	deadline := func(t *testing.T) context.Context {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		return ctx
	}
	set := func(name string, value any) func(t *testing.T) context.Context {
		return func(t *testing.T) context.Context {
			t.Helper()
			return clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{name: value}))
		}
	}
	for name, row := range map[string]struct {
		ctx   func(t *testing.T) context.Context
		query string
		want  int32 // 0 where it is allowed
	}{
		"a select":                   {plain, "SELECT count() FROM d.facts", 0},
		"a select with a deadline":   {deadline, "SELECT count() FROM d.facts", 0},
		"a setting of the query":     {plain, "SELECT count() FROM d.facts SETTINGS max_threads = 1", 0},
		"a setting of the driver":    {set("use_query_cache", 0), "SELECT count() FROM d.facts", 0},
		"a lower limit of time":      {set("max_execution_time", 5), "SELECT count() FROM d.facts", 0},
		"a look at the tables":       {plain, "SELECT count() FROM system.tables WHERE database = 'd'", 0},
		"an insert":                  {plain, "INSERT INTO d.facts VALUES (1)", accessDeniedCode},
		"a create":                   {plain, "CREATE TABLE d.other (n UInt64) ENGINE = Memory", accessDeniedCode},
		"a drop":                     {plain, "DROP TABLE d.facts", accessDeniedCode},
		"a delete":                   {plain, "ALTER TABLE d.facts DELETE WHERE 1", accessDeniedCode},
		"a user":                     {plain, "CREATE USER other", accessDeniedCode},
		"a stop of merges":           {plain, "SYSTEM STOP MERGES d.facts", accessDeniedCode},
		"a file of the server":       {plain, "SELECT count() FROM file('x.csv', 'CSV', 'a String')", accessDeniedCode},
		"an address of the network":  {plain, "SELECT count() FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", accessDeniedCode},
		"a way out of readonly":      {plain, "SET readonly = 0", readonlyCode},
		"a longer limit of time":     {set("max_execution_time", 301), "SELECT count() FROM d.facts", constraintCode},
		"no limit of time":           {set("max_execution_time", 0), "SELECT count() FROM d.facts", constraintCode},
		"no limit of rows":           {set("max_rows_to_read", 0), "SELECT count() FROM d.facts", constraintCode},
		"no limit of bytes":          {set("max_bytes_to_read", 0), "SELECT count() FROM d.facts", constraintCode},
		"no limit of memory":         {set("max_memory_usage", 0), "SELECT count() FROM d.facts", constraintCode},
		"no limit of the result":     {set("max_result_rows", 0), "SELECT count() FROM d.facts", constraintCode},
		"a cut instead of an error":  {set("timeout_overflow_mode", "break"), "SELECT count() FROM d.facts", constraintCode},
		"more rows than may be read": {set("max_rows_to_read", 5), "SELECT sum(n) FROM d.facts", tooManyRowsCode},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := reader.Exec(row.ctx(t), row.query)
			if got := code(t, err); got != row.want {
				t.Errorf("%s: code %d (%v), want %d", row.query, got, err, row.want)
			}
		})
	}
}

func TestTheUserDefaultOpensListenersAndNothingElse(t *testing.T) {
	t.Parallel()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: t.TempDir()})
	exec1(t, open(t, server.Addr, server.User, server.Password), "CREATE TABLE facts (n UInt64) ENGINE = MergeTree ORDER BY n")
	stranger := open(t, server.Addr, "default", "")
	for query, want := range map[string]int32{
		"SELECT count() FROM default.facts":                           accessDeniedCode,
		"INSERT INTO default.facts VALUES (1)":                        accessDeniedCode,
		"CREATE TABLE default.x (n UInt8) ENGINE = Memory":            accessDeniedCode,
		"SELECT * FROM file('x.csv', 'CSV', 'a String')":              accessDeniedCode,
		"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')": accessDeniedCode,
	} {
		if err := stranger.Exec(t.Context(), query); code(t, err) != want {
			t.Errorf("%s: %v, want code %d", query, err, want)
		}
	}
}

func TestClickHouseRunsWithTheSettingsThatItWasGiven(t *testing.T) {
	t.Parallel()
	server := startClickHouse(t, embedded.ClickHouseOptions{DataDir: t.TempDir(), MemoryLimit: 700 << 20})
	conn := open(t, server.Addr, server.User, server.Password)
	for query, want := range map[string]string{
		"SELECT value FROM system.settings WHERE name = 'async_insert'":                   "0",
		"SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'": "734003200",
		"SELECT value FROM system.server_settings WHERE name = 'background_pool_size'":    "4",
		"SELECT value FROM system.server_settings WHERE name = 'mark_cache_size'":         "67108864",
		"SELECT toString(serverTimezone())":                                               "UTC",
	} {
		if got := ask(t, conn, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	exec1(t, conn, "CREATE DATABASE d")
	exec1(t, conn, "CREATE TABLE d.kept (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, conn, "INSERT INTO d.kept VALUES (1)")
	exec1(t, conn, "CREATE TABLE d.next AS d.kept")
	exec1(t, conn, "EXCHANGE TABLES d.kept AND d.next")
	exec1(t, conn, "BACKUP TABLE d.next TO File('kept')")
}

// code is the code of an error of the server, 0 for none.
func code(t *testing.T, err error) int32 {
	t.Helper()
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exception):
		return exception.Code
	default:
		t.Errorf("not an error of the server: %v", err)
		return -1
	}
}
