package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// OutputReader reads the outputs of one input partition that was just assigned: in every output topic the partition
// of the same number. It also notes which inputs they answer.
type OutputReader struct {
	cfg       Config
	deps      Deps
	partition int32
	input     string
	committed int64
	metas     map[string]topicMeta
	starts    map[TopicPartition]int64
	ends      map[TopicPartition]int64
	answered  *answered
	limit     int64
}

// openOutputs fixes the range to read. It runs after the stable offset fetch of the partition: the former owner's
// last transaction has ended, and everything that it wrote is below the high watermarks read here. What of it has no
// marker yet holds the last stable offset back, so that reading committed up to the high watermark waits for it.
func openOutputs(ctx context.Context, client *kgo.Client, p *Processor, partition int32, committed int64) (*OutputReader, error) {
	names := append(p.cfg.Topics(p.pc.Outputs...), p.input)
	_, metas, err := describe(ctx, client, names)
	if err != nil {
		return nil, err
	}
	in := TopicPartition{p.input, partition}
	tps := []TopicPartition{in}
	for _, name := range p.cfg.Topics(p.pc.Outputs...) {
		// An input that is an output as well stands there already: a broker refuses to be asked twice for a partition.
		if name != p.input && int(partition) < metas[name].partitions {
			tps = append(tps, TopicPartition{name, partition})
		}
	}
	starts, err := listOffsets(ctx, client, atLogStart, tps)
	if err != nil {
		return nil, err
	}
	ends, err := listOffsets(ctx, client, atLogEnd, tps)
	if err != nil {
		return nil, err
	}
	return &OutputReader{
		cfg: p.cfg.with(p.pc.Role), deps: p.deps, partition: partition, input: p.input, committed: committed,
		metas: metas, starts: starts, ends: ends,
		answered: newAnswered(committed, ends[in]),
		limit:    ends[in],
	}, nil
}

// Committed is the input offset that the group has committed for the partition: everything below it is answered.
func (o *OutputReader) Committed() int64 { return o.committed }

// Answered tells what the handler's checkpoint knows: every input below offset was answered when it was written.
// It is believed only as far as the input topic has records.
func (o *OutputReader) Answered(offset int64) { o.answered.raise(min(offset, o.limit)) }

// AnsweredBefore tells all that a handler's checkpoint knows: what AnsweredInputs gave when it was written. What the outputs
// say from where the checkpoint has read them is added by Read.
func (o *OutputReader) AnsweredBefore(in AnsweredInputs) { o.answered.include(in) }

// AnsweredInputs is which inputs are known to be answered, after what was read so far. A checkpoint that keeps it may say
// that the outputs are read up to here; one that does not must not, for after a torn transaction they alone tell it.
func (o *OutputReader) AnsweredInputs() AnsweredInputs { return o.answered.inputs() }

// Read gives each the committed records of this partition of an output topic, from offset from (or the start of the
// log, if that is later) up to the high watermark, in order, without control records. It returns the next offset.
// What came before from must be covered by Answered. An output topic that has no partition of this number has
// nothing to read.
func (o *OutputReader) Read(ctx context.Context, t topic.Name, from int64, each func(*Record) error) (int64, error) {
	return o.Peek(ctx, t, from, func(r *Record) error {
		if err := o.Answers(r); err != nil {
			return err
		}
		return each(r)
	})
}

// Answers notes that an output which Peek gave answers its input.
func (o *OutputReader) Answers(r *Record) error {
	origin, err := Origin(r)
	switch {
	case errors.Is(err, ErrNoOrigin):
		// Somebody else's record: it answers nothing of ours.
	case err != nil:
		return fmt.Errorf("read output %s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
	case origin.TopicPartition == TopicPartition{o.input, o.partition}:
		o.answered.add(origin.Offset)
	}
	return nil
}

// Peek is Read for outputs that do not all stand for an answer (Answers says which do): an input of which nothing but
// others is there, because its transaction was torn, is answered again.
func (o *OutputReader) Peek(ctx context.Context, t topic.Name, from int64, each func(*Record) error) (int64, error) {
	tp := TopicPartition{o.cfg.Topic(t), o.partition}
	end, ok := o.ends[tp]
	if !ok {
		return 0, nil
	}
	from = max(from, o.starts[tp])
	if err := readRange(ctx, o.cfg, o.deps, tp, from, end, each); err != nil {
		return 0, fmt.Errorf("read outputs: %w", err)
	}
	return max(from, end), nil
}

// Bounds are the start of the log and the high watermark of this partition of an output topic, or of the input. A
// checkpoint outside of them belongs to another log.
func (o *OutputReader) Bounds(t topic.Name) (start, end int64) {
	tp := TopicPartition{o.cfg.Topic(t), o.partition}
	return o.starts[tp], o.ends[tp]
}

// TopicID is the id of an output topic, or of the input. It changes when the topic is made anew; a checkpoint keeps
// it, and one with other ids is worth nothing.
func (o *OutputReader) TopicID(t topic.Name) [16]byte { return o.metas[o.cfg.Topic(t)].id }
