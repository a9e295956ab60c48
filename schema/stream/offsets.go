package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timestamps that stand for the ends of a log in ListOffsets.
const (
	atLogStart = -2
	atLogEnd   = -1
)

// listOffsets asks the leaders for the start of the log or the high watermark of partitions. It asks directly and
// not through kadm, which would fetch metadata first each time: a barrier's latency is this one request.
//
// The isolation level is read uncommitted, so that the end is the high watermark: the last stable offset would leave
// out what a transaction has written and not yet committed.
func listOffsets(ctx context.Context, client *kgo.Client, timestamp int64, tps []TopicPartition) (map[TopicPartition]int64, error) {
	byTopic := map[string][]kmsg.ListOffsetsRequestTopicPartition{}
	for _, tp := range tps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition = tp.Partition
		p.Timestamp = timestamp
		byTopic[tp.Topic] = append(byTopic[tp.Topic], p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	for name, ps := range byTopic {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic, t.Partitions = name, ps
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	out := make(map[TopicPartition]int64, len(tps))
	var errs []error
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			tp := TopicPartition{t.Topic, p.Partition}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				errs = append(errs, fmt.Errorf("list offsets of %s: %w", tp, err))
				continue
			}
			out[tp] = p.Offset
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(out) != len(tps) {
		return nil, fmt.Errorf("list offsets: %d of %d partitions answered", len(out), len(tps))
	}
	return out, nil
}

// topicMeta is what identifies a topic and bounds its partitions.
type topicMeta struct {
	id         [16]byte
	partitions int
}

// describe asks for the cluster's id and the topics' ids and partition counts. A missing topic is an error.
func describe(ctx context.Context, client *kgo.Client, names []string) (string, map[string]topicMeta, error) {
	meta, err := kadm.NewClient(client).Metadata(ctx, names...)
	if err != nil {
		return "", nil, fmt.Errorf("describe topics: %w", err)
	}
	out := make(map[string]topicMeta, len(names))
	for _, name := range names {
		d, ok := meta.Topics[name]
		switch {
		case !ok:
			return "", nil, fmt.Errorf("describe topic %s: %w", name, kerr.UnknownTopicOrPartition)
		case d.Err != nil:
			return "", nil, fmt.Errorf("describe topic %s: %w", name, d.Err)
		}
		out[name] = topicMeta{id: d.ID, partitions: len(d.Partitions)}
	}
	return meta.Cluster, out, nil
}

func allPartitions(topics map[string]topicMeta) []TopicPartition {
	var tps []TopicPartition
	for name, m := range topics {
		for p := range m.partitions {
			tps = append(tps, TopicPartition{name, int32(p)})
		}
	}
	return tps
}
