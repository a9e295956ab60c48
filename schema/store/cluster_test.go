package store_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

// shards are two real servers and a table spread over both. The embedded engine has no Keeper, so each shard is one
// server without replicas: what is tried is how tokens and blocks come to shards, not what a quorum is.
type shards struct {
	conns [2]store.Conn
}

const shardPassword = "shards-of-a-test"

func startShards(t *testing.T) *shards {
	t.Helper()
	var s shards
	var addrs []string
	for i := range s.conns {
		server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseOptions{
			DataDir: t.TempDir(), Progress: os.Stderr, Password: shardPassword, MemoryLimit: 1 << 30,
		})
		if errors.Is(err, embedded.ErrNoEngine) {
			schematest.ClickHouse(t) // which skips or fails, as the surroundings want
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
		addrs = append(addrs, server.Addr)
		s.conns[i] = open(t, store.Config{Addr: server.Addr, Database: "default", User: server.User, Password: server.Password}, store.ReadWrite)
		s.exec(t, i, "CREATE TABLE t_local (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100")
	}
	s.exec(t, 0, "CREATE TABLE t AS remote('"+strings.Join(addrs, ",")+"', default, t_local, 'throughline', '"+shardPassword+"', cityHash64(n))")
	return &s
}

func (s *shards) exec(t *testing.T, shard int, statement string) {
	t.Helper()
	if err := s.conns[shard].Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// insert sends numbers as one block under a token, through the distributed table.
func (s *shards) insert(ctx context.Context, token string, numbers []uint64) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
	batch, err := s.conns[0].PrepareBatch(ctx, "INSERT INTO t")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Abort() }()
	for _, n := range numbers {
		if err := batch.Append(n); err != nil {
			return err
		}
	}
	return batch.Send()
}

// count is how many rows a query finds on one of the servers.
func (s *shards) count(t *testing.T, shard int, query string) uint64 {
	t.Helper()
	var n uint64
	if err := s.conns[shard].QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (s *shards) once(t *testing.T, want uint64) {
	t.Helper()
	if all, unique := s.count(t, 0, "SELECT count() FROM t"), s.count(t, 0, "SELECT uniqExact(n) FROM t"); all != want || unique != want {
		t.Errorf("%d rows, %d different ones, want %d", all, unique, want)
	}
}

func numbers(from, to uint64) []uint64 {
	var list []uint64
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

func TestABatchIsOnceOnEveryShardHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	s := startShards(t)
	first := numbers(0, 1000)
	for range 3 {
		if err := s.insert(t.Context(), "first", first); err != nil {
			t.Fatal(err)
		}
	}
	s.once(t, 1000)
	for i := range s.conns {
		if n := s.count(t, i, "SELECT count() FROM t_local"); n == 0 || n == 1000 {
			t.Errorf("shard %d has %d rows of 1000", i, n)
		}
	}

	// A shard that is away: the others may have their rows, and the insert fails.
	s.exec(t, 1, "RENAME TABLE t_local TO t_away")
	second := numbers(1000, 2000)
	if err := s.insert(t.Context(), "second", second); err == nil {
		t.Fatal("an insert that a shard did not take is acknowledged")
	}
	s.exec(t, 1, "RENAME TABLE t_away TO t_local")
	// What is missing is all of a shard or nothing of it, as verification relies on.
	there := s.count(t, 0, "SELECT countIf(n >= 1000) FROM t_local")
	share := s.count(t, 0, "SELECT countIf(cityHash64(number) % 2 = 0) FROM numbers(1000, 1000)")
	if there != 0 && there != share {
		t.Errorf("the shard that was there has %d rows, its share is %d", there, share)
	}
	if n := s.count(t, 1, "SELECT countIf(n >= 1000) FROM t_local"); n != 0 {
		t.Errorf("the shard that was away has %d rows", n)
	}
	// The batch as a whole, and then only a part of it, under the token of the whole.
	for _, again := range [][]uint64{second, second[:500]} {
		if err := s.insert(t.Context(), "second", again); err != nil {
			t.Fatal(err)
		}
		s.once(t, 2000)
	}
}

func TestADatabaseKeepsTheFormThatItWasMadeIn(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	conn := writer(t, db)
	if _, err := migrate(t, conn, table.Migrations()); err != nil {
		t.Fatal(err)
	}
	form := table.Cluster{Name: "main", Database: db.Database}.Render
	if _, err := store.MigrateCluster(t.Context(), conn, table.Migrations(), "main", form, nil); !errors.Is(err, store.ErrOtherForm) {
		t.Errorf("tables of one server are migrated for a cluster: %v", err)
	}
	if _, _, err := store.Shards(t.Context(), conn, "main"); err == nil || !strings.Contains(err.Error(), "knows no cluster main") {
		t.Errorf("a cluster that is not there: %v", err)
	}
}

func TestWritesAreForegroundAndReadsConsistentWhateverTheCluster(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	for conn, settings := range map[store.Conn]map[string]string{
		writer(t, db): {
			"distributed_foreground_insert": "1", "insert_quorum": "auto", "insert_quorum_parallel": "0",
			"select_sequential_consistency": "1", "skip_unavailable_shards": "0",
		},
		reader(t, db): {"select_sequential_consistency": "1", "skip_unavailable_shards": "0", "optimize_skip_unused_shards": "1"},
	} {
		for name, want := range settings {
			var got string
			if err := conn.QueryRow(t.Context(), "SELECT value FROM system.settings WHERE name = $1", name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, want %s (%v)", name, got, want, err)
			}
		}
	}
}
