package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline/throughline/schema/topic"
)

// InspectTopics verifies the topics as [EnsureTopics] does, and makes none. The number of partitions and of replicas is
// taken from the topic named like; layout gives the topics for a number of partitions. It returns that number.
func InspectTopics(ctx context.Context, cfg Config, log *slog.Logger, like topic.Name, layout func(partitions int) []topic.Spec) (int, error) {
	client, err := Open(cfg.with("inspect"), log, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	name := cfg.Topic(like)
	listed, err := admin.ListTopics(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	model := listed[name]
	if err := model.Err; err != nil {
		return 0, fmt.Errorf("topic %s: %w", name, err)
	}
	partitions := len(model.Partitions)
	return partitions, verifyTopics(ctx, admin, cfg, layout(partitions), model.Partitions.NumReplicas())
}

// InspectGroup returns how many partitions of the topics a consumer group has no offset for. Such a group does not
// start.
func InspectGroup(ctx context.Context, cfg Config, log *slog.Logger, group string, topics []topic.Name) (int, error) {
	client, err := Open(cfg.with("inspect"), log, nil)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	committed, err := fetchCommitted(ctx, admin, cfg.Group(group))
	if err != nil {
		return 0, err
	}
	listed, err := admin.ListTopics(ctx, cfg.Topics(topics...)...)
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	if err := listed.Error(); err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	missing := 0
	listed.EachPartition(func(p kadm.PartitionDetail) {
		if have, ok := committed.Lookup(p.Topic, p.Partition); !ok || have.At < 0 {
			missing++
		}
	})
	return missing, nil
}

// errFound ends a search.
var errFound = errors.New("found")

// FirstValue returns the first record of a topic that has a value, or nil where there is none.
func FirstValue(ctx context.Context, cfg Config, log *slog.Logger, name topic.Name) (*Record, error) {
	client, err := Open(cfg.with("inspect"), log, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin, full := kadm.NewClient(client), cfg.Topic(name)
	starts, err := admin.ListStartOffsets(ctx, full)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, full)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	var found *Record
	for _, p := range slices.Sorted(maps.Keys(starts[full])) {
		start, _ := starts.Lookup(full, p)
		end, _ := ends.Lookup(full, p)
		err := readRange(ctx, cfg, Deps{Log: log}, TopicPartition{Topic: full, Partition: p}, start.Offset, end.Offset, func(r *Record) error {
			if r.Value == nil {
				return nil
			}
			found = r
			return errFound
		})
		if err != nil && !errors.Is(err, errFound) {
			return nil, err
		}
		if found != nil {
			break
		}
	}
	return found, nil
}
