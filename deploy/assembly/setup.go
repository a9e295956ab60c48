package assembly

import (
	"context"
	"errors"
	"fmt"

	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/ingest/conversation"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// Topics creates the topics that are not there, verifies those that are, and commits the first offsets of every
// consumer group, which start nowhere by themselves. It returns the names of the topics that it created. It may be
// repeated, but not while services run.
func Topics(ctx context.Context, kafka stream.Config, deps stream.Deps, partitions, replication int) ([]string, error) {
	created, err := stream.EnsureTopics(ctx, kafka, deps, topic.Layout(partitions), replication)
	if err != nil {
		return nil, fmt.Errorf("prepare topics: %w", err)
	}
	for _, g := range groups() {
		if err := stream.CommitInitialOffsets(ctx, kafka, deps, g.Name, g.Topics); err != nil {
			return created, fmt.Errorf("prepare consumer group %s: %w", g.Name, err)
		}
	}
	return created, nil
}

// groups are the consumer groups of all services.
func groups() []projector.Group {
	all := append(projector.Groups(),
		projector.Group{Name: link.Group, Topics: []topic.Name{topic.Submissions}},
		projector.Group{Name: conversation.Group, Topics: []topic.Name{topic.ConversationCommands}},
	)
	for _, g := range dispatcher.Groups() {
		all = append(all, projector.Group(g))
	}
	return all
}

// Migrate makes the database if need be and brings its tables to what this binary knows. Progress may be nil.
func Migrate(ctx context.Context, cfg store.Config, progress func(store.Migration)) (applied []store.Migration, err error) {
	if err := store.CreateDatabase(ctx, cfg); err != nil {
		return nil, fmt.Errorf("prepare database: %w", err)
	}
	conn, err := store.Open(ctx, cfg, store.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if cfg.Cluster == "" {
		applied, err = store.Migrate(ctx, conn, table.Migrations(), progress)
	} else {
		form := table.Cluster{Name: cfg.Cluster, Database: cfg.Database}.Render
		applied, err = store.MigrateCluster(ctx, conn, table.Migrations(), cfg.Cluster, form, progress)
	}
	if err != nil {
		return applied, fmt.Errorf("migrate tables: %w", err)
	}
	return applied, nil
}
