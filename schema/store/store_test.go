package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/tlsdial"
)

func TestMain(m *testing.M) { os.Exit(schematest.Main(m)) }

// writer opens the test's own database for writing.
func writer(t *testing.T, db schematest.DB) store.Conn {
	t.Helper()
	return open(t, store.Config{Addr: db.Addr, Database: db.Database, User: db.User, Password: db.Password}, store.ReadWrite)
}

func reader(t *testing.T, db schematest.DB) store.Conn {
	t.Helper()
	return open(t, store.Config{Addr: db.Addr, Database: db.Database, User: db.ReadUser, Password: db.ReadPassword}, store.ReadOnly)
}

func open(t *testing.T, c store.Config, access store.Access) store.Conn {
	t.Helper()
	conn, err := store.Open(t.Context(), c, access)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestInsertsAreSynchronousAndDeduplicatedByToken(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	ctx := t.Context()
	var async string
	if err := conn.QueryRow(ctx, "SELECT toString(getSetting('async_insert'))").Scan(&async); err != nil {
		t.Fatal(err)
	}
	if async != "0" && async != "false" {
		t.Errorf("async_insert is %s", async)
	}
	err := conn.Exec(ctx, "CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100")
	if err != nil {
		t.Fatal(err)
	}
	insert := func(token string, n uint32) {
		ctx := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(batch.Append(n), batch.Send()); err != nil {
			t.Fatal(err)
		}
	}
	insert("a", 1)
	insert("a", 1)
	insert("b", 1)
	var rows uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM t").Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows, want 2 (%v)", rows, err)
	}
}

func TestAReaderReadsWithADeadlineAndSettingsButCannotWrite(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	if db.ReadUser == db.User {
		t.Skip("this server has no user that only reads")
	}
	if err := writer(t, db).Exec(t.Context(), "CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	conn := reader(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // the driver makes a setting of it
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"use_top_k_dynamic_filtering": 0}))
	var rows uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM t").Scan(&rows); err != nil {
		t.Errorf("a page: %v", err)
	}
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (n UInt32) ENGINE = Memory"} {
		err := conn.Exec(t.Context(), statement)
		if err == nil {
			t.Errorf("%s: the reader may", statement)
		}
		if got := store.Classify(err); got != problem.Stop {
			t.Errorf("%s: %v is classed %s", statement, err, got)
		}
	}
}

func TestCreateDatabaseMayRunTwice(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	c := store.Config{Addr: db.Addr, Database: db.Database + "_more", User: db.User, Password: db.Password}
	for range 2 {
		if err := store.CreateDatabase(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	conn := open(t, c, store.ReadWrite)
	var engine string
	if err := conn.QueryRow(t.Context(), "SELECT engine FROM system.databases WHERE name = ?", c.Database).Scan(&engine); err != nil {
		t.Fatal(err)
	}
	if engine != "Atomic" {
		t.Errorf("engine %s", engine)
	}
	if err := conn.Exec(t.Context(), "DROP DATABASE "+c.Database); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfARealServerAreClassed(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	conn := writer(t, db)
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tests := map[string]struct {
		ctx       context.Context //nolint:containedctx // a row of a table
		statement string
		want      store.Class
	}{
		"no such table":       {t.Context(), "SELECT * FROM nothing", problem.Stop},
		"no such column":      {t.Context(), "SELECT m FROM t", problem.Stop},
		"syntax":              {t.Context(), "SELEKT 1", problem.Stop},
		"two statements":      {t.Context(), "SELECT 1; SELECT 2", problem.Stop},
		"too little memory":   {t.Context(), "SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000", problem.Retry},
		"too slow a query":    {t.Context(), "SELECT sleepEachRow(0.1) FROM numbers(20) SETTINGS max_execution_time = 0.1, max_block_size = 1", problem.Retry},
		"too many rows":       {t.Context(), "SELECT count() FROM numbers(1000000) WHERE number % 3 = 1 SETTINGS max_rows_to_read = 10", problem.Reject},
		"too large an answer": {t.Context(), "SELECT * FROM numbers(1000) SETTINGS max_result_rows = 10", problem.Reject},
		"a deadline":          {short, "SELECT sleep(1)", problem.Retry},
	}
	for name, tc := range tests {
		err := conn.Exec(tc.ctx, tc.statement)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := store.Classify(fmt.Errorf("wrapped: %w", err)); got != tc.want {
			t.Errorf("%s: %v is classed %s, want %s", name, err, got, tc.want)
		}
	}
}

func TestCodesBearTheNamesOfTheServer(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	seen := make(map[int32]bool)
	for _, c := range store.Codes() {
		var name string
		if err := conn.QueryRow(t.Context(), "SELECT errorCodeToName(?)", c.Number).Scan(&name); err != nil {
			t.Fatal(err)
		}
		if name != c.Name || c.Reason == "" || seen[c.Number] {
			t.Errorf("%d is %s, listed as %s (listed before: %t)", c.Number, name, c.Name, seen[c.Number])
		}
		seen[c.Number] = true
	}
}

func TestAServerThatIsAwayIsRetried(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	hangingUp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hangingUp.Close() })
	go func() {
		for {
			conn, err := hangingUp.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	for _, addr := range []string{refusing, hangingUp.Addr().String()} {
		_, err := store.Open(t.Context(), store.Config{Addr: addr, Database: "default"}, store.ReadWrite)
		if err == nil || store.Classify(err) != problem.Retry {
			t.Errorf("%v is classed %s", err, store.Classify(err))
		}
	}
}

func TestMistakesOfTheProgramStop(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	err = batch.Append("not a number")
	if err == nil || store.Classify(err) != problem.Stop {
		t.Errorf("%v is classed %s", err, store.Classify(err))
	}
	if err := batch.Abort(); err != nil {
		t.Error(err)
	}
	if store.Classify(nil) != problem.Stop || store.Classify(errors.New("unheard of")) != problem.Stop {
		t.Error("what nobody has thought about is retried")
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	t.Parallel()
	err := store.Config{Addr: "nowhere", Database: "a-b; DROP", TLS: tlsdial.Config{CAFile: "x"}}.Validate()
	for _, want := range []string{`"nowhere" is not host:port`, `"a-b; DROP" is not a plain name`, "needs TLS to be turned on"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if err := (store.Config{Addr: "a:1, b:2", Database: "throughline"}).Validate(); err != nil {
		t.Error(err)
	}
}
