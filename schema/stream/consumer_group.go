package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// onAssigned does nothing: an assignment counts once its offsets are fetched. It is registered because that makes the
// library hold assignments back, too, while a batch is being worked on.
func (c *Consumer) onAssigned(context.Context, *kgo.Client, map[string][]int32) {}

// onFetched keeps the metadata of the committed offsets.
func (c *Consumer) onFetched(ctx context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	fetched, err := committedMetadata(ctx, resp, c.topicName)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.metadata, fetched)
	return nil
}

// committedMetadata reads the metadata of committed offsets, empty where there is none. Newer protocol versions name
// topics by id alone.
func committedMetadata(ctx context.Context, resp *kmsg.OffsetFetchResponse, nameOf func(context.Context, [16]byte) (string, error)) (map[TopicPartition]string, error) {
	fetched := map[TopicPartition]string{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			name := t.Topic
			if name == "" {
				var err error
				if name, err = nameOf(ctx, t.TopicID); err != nil {
					return nil, err
				}
			}
			for _, p := range t.Partitions {
				tp := TopicPartition{name, p.Partition}
				fetched[tp] = ""
				if p.Metadata != nil {
					fetched[tp] = *p.Metadata
				}
			}
		}
	}
	return fetched, nil
}

func (c *Consumer) topicName(ctx context.Context, id [16]byte) (string, error) {
	for _, name := range c.cfg.Topics(c.cc.Topics...) {
		have, err := c.TopicID(ctx, name)
		if err != nil {
			return "", err
		}
		if have == id {
			return name, nil
		}
	}
	return "", fmt.Errorf("topic id %x is of no topic that is consumed: %w", id, kerr.UnknownTopicID)
}

// onOffsets runs after onFetched and before the first fetch of a partition: no record of it was polled yet.
func (c *Consumer) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ps := range offsets {
		for p, o := range ps {
			tp := TopicPartition{name, p}
			at := o.EpochOffset().Offset
			if at < 0 {
				c.missing = &OffsetLostError{Group: c.group, TopicPartition: tp, Offset: -1, LogStart: -1, LogEnd: -1}
				continue
			}
			c.assigned[tp] = Assignment{TopicPartition: tp, Offset: at, Metadata: c.metadata[tp]}
			c.next[tp] = at
		}
	}
	if c.wake != nil {
		c.wake()
	}
	return offsets, nil
}

func (c *Consumer) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ps := range lost {
		for _, p := range ps {
			tp := TopicPartition{name, p}
			delete(c.assigned, tp)
			delete(c.next, tp)
			c.lost[tp] = struct{}{}
		}
	}
	if c.wake != nil {
		c.wake()
	}
}

func (c *Consumer) onBlocked(context.Context, *kgo.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.wanted:
	default:
		close(c.wanted)
	}
}

// Commit commits positions with their metadata. It returns an error that wraps ErrRebalanced if this member is not the
// owner any more; any other error may be retried.
func (c *Consumer) Commit(ctx context.Context, commits map[TopicPartition]Commit) error {
	if len(commits) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for tp, commit := range commits {
		if len(commit.Metadata) > MaxMetadataBytes {
			return fmt.Errorf("commit %s: metadata has %d bytes, at most %d", tp, len(commit.Metadata), MaxMetadataBytes)
		}
		if offsets[tp.Topic] == nil {
			offsets[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: -1, Offset: commit.Offset}
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				metadata := commits[TopicPartition{req.Topics[i].Topic, p.Partition}].Metadata
				p.Metadata = &metadata
			}
		}
		return nil
	})
	var errs []error
	answered := 0
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				answered++
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					errs = append(errs, fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err))
				}
			}
		}
	})
	err := errors.Join(errs...)
	switch {
	case err == nil && answered == len(commits):
		return nil
	case err == nil:
		return fmt.Errorf("commit group %s: %d of %d partitions answered", c.group, answered, len(commits))
	case lostOwnership(err):
		return fmt.Errorf("commit group %s: %w: %w", c.group, ErrRebalanced, err)
	default:
		return fmt.Errorf("commit group %s: %w", c.group, err)
	}
}
