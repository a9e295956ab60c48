package stream_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// A process that is killed between its offsets' commit and the end of the transaction leaves an offset that nobody can
// read for a while. It is waited for, and not set back to the start of the log.
func TestFirstOffsetsWaitForATransactionThatAPredecessorLeftOpen(t *testing.T) {
	t.Parallel()
	cfg := config(t, schematest.ApacheKafka(t))
	ensureTopics(t, cfg, specs(1))
	put(t, cfg, inputs, 0, 0, 10)
	var seven kadm.Offsets
	seven.AddOffset(cfg.Topic(inputs), 0, 7, -1)
	if err := kadm.NewClient(client(t, cfg)).CommitAllOffsets(t.Context(), cfg.Group("copy"), seven); err != nil {
		t.Fatal(err)
	}
	leaveOffsetOpen(t, cfg, 9)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stream.CommitInitialOffsets(ctx, cfg, deps(t), "copy", []topic.Name{inputs}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int32]int64{0: 7}, committedOffsets(t, cfg, "copy")); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

// leaveOffsetOpen commits an offset of the group in a transaction that it never ends.
func leaveOffsetOpen(t *testing.T, cfg stream.Config, offset int64) {
	t.Helper()
	id := cfg.Group("copy") + ".dead"
	cl := client(t, cfg, kgo.TransactionalID(id), kgo.TransactionTimeout(2*time.Second))
	producer, epoch, err := cl.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, producer, epoch, cfg.Group("copy")
	added, err := add.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		t.Fatalf("add offsets to transaction: %v", err)
	}
	meta, err := kadm.NewClient(cl).Metadata(t.Context(), cfg.Topic(inputs))
	if err != nil {
		t.Fatal(err)
	}
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	in := kmsg.NewTxnOffsetCommitRequestTopic()
	in.Topic, in.TopicID, in.Partitions = cfg.Topic(inputs), meta.Topics[cfg.Topic(inputs)].ID, append(in.Partitions, p)
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch = id, cfg.Group("copy"), producer, epoch
	commit.Generation = -1
	commit.Topics = append(commit.Topics, in)
	committed, err := commit.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(committed.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("commit offset in transaction: %v", err)
	}
}
