package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// The settings of a cluster are those of every connection: on tables of one
// server they mean nothing, and a service whose operator forgot to name the
// cluster must not write to it by weaker rules.

// clusterWrites make an insert through a distributed table durable, and
// repeatable, before it is acknowledged.
func clusterWrites() clickhouse.Settings {
	return clickhouse.Settings{
		// By default the server that is asked acknowledges what it has queued
		// on its own disk for the others.
		"distributed_foreground_insert": 1,
		// Acknowledged means that most replicas of a shard have it.
		"insert_quorum": "auto",
		// Sequentially consistent reads, by which an insert of unknown outcome
		// is verified, mean nothing beside inserts that have quorums of their
		// own at the same time. The price is one insert a table and shard at a
		// time; another is refused, and sent again.
		"insert_quorum_parallel": 0,
		// Milliseconds; below the projector's own bound on an insert, so that
		// the server's word on the quorum arrives.
		"insert_quorum_timeout": 15_000,
	}
}

// clusterReads make what was acknowledged visible, on whichever replica, and an
// absent shard an error rather than rows that are not there.
func clusterReads() clickhouse.Settings {
	return clickhouse.Settings{
		// A replica that lacks what a quorum has answers with an error. A read
		// that waited for a position must see what is at it.
		"select_sequential_consistency": 1,
		// The default, said aloud: an exact page has no holes.
		"skip_unavailable_shards": 0,
		// An object's timeline is on one shard; the others need not be asked.
		"optimize_skip_unused_shards": 1,
	}
}

// onCluster makes a statement one for all servers of a cluster, if there is
// one.
func onCluster(name string) string {
	if name == "" {
		return ""
	}
	return " ON CLUSTER '" + name + "'"
}

// Form writes the statement of a migration as those that a cluster needs.
type Form func(statement string) ([]string, error)

// ErrOtherForm says that a database was made for a cluster and is now meant for
// one server, or the other way round.
var ErrOtherForm = errors.New("the database was made in another form: name the cluster that it was made for, or choose another database and project the log into it")

// MigrateCluster is [Migrate] for the servers of a cluster. What was applied is
// remembered on every one of them, by the checksums of the files themselves.
func MigrateCluster(ctx context.Context, conn Conn, files fs.FS, cluster string, form Form, progress func(Migration)) ([]Migration, error) {
	list, err := Migrations(files)
	if err != nil {
		return nil, err
	}
	if err := sameForm(ctx, conn, true); err != nil {
		return nil, err
	}
	if _, _, err := Shards(ctx, conn, cluster); err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].statements, err = form(list[i].Statement); err != nil {
			return nil, fmt.Errorf("migration %s: %w", list[i].Name, err)
		}
	}
	// One table with a replica on every server, whatever its shard.
	record := createRecord(onCluster(cluster), "ReplicatedMergeTree('/clickhouse/tables/{database}/schema_migrations', '{shard}-{replica}')")
	return migrate(ctx, conn, list, record, progress)
}

// Shards tells how many shards a cluster has, and how many servers in all. A
// cluster that the server does not know is an error, and so is one where an
// insert would be written to every replica by the server that it came to.
func Shards(ctx context.Context, conn Conn, cluster string) (shards, servers uint64, err error) {
	var careless uint64
	err = conn.QueryRow(ctx, `SELECT uniqExact(shard_num), count(), countIf(internal_replication = 0)
		FROM system.clusters WHERE cluster = $1`, cluster).Scan(&shards, &servers, &careless)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("look for cluster %s: %w", cluster, err)
	case servers == 0:
		return 0, 0, fmt.Errorf("the server knows no cluster %s: name it in remote_servers of its configuration", cluster)
	case careless > 0:
		return 0, 0, fmt.Errorf("cluster %s has shards without internal_replication: set it to true in remote_servers", cluster)
	default:
		return shards, servers, nil
	}
}

// sameForm refuses a database whose record of migrations has another engine
// than it would be made with.
func sameForm(ctx context.Context, conn Conn, replicated bool) error {
	var there, other uint64
	err := conn.QueryRow(ctx, `SELECT count(), countIf(startsWith(engine, 'Replicated') != $1)
		FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'`, replicated).Scan(&there, &other)
	if err != nil {
		return fmt.Errorf("look for schema_migrations: %w", err)
	}
	if there > 0 && other > 0 {
		return ErrOtherForm
	}
	return nil
}
