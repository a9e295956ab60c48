package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/traces"
)

// Record is a Kafka record. It is the client library's own type, so that no record is copied on its way.
type Record = kgo.Record

// Header is a header of a Record.
type Header = kgo.RecordHeader

// TopicPartition names one partition of a topic, by the topic's full name (Config.Topic).
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String gives topic/partition.
func (tp TopicPartition) String() string {
	return tp.Topic + "/" + strconv.FormatInt(int64(tp.Partition), 10)
}

// Offset is the place of one record.
type Offset struct {
	TopicPartition

	Offset int64
}

// Headers turns the headers of package topic into headers of a Record. Their values share one piece of memory.
func Headers(hs []topic.Header) []Header {
	size := 0
	for _, h := range hs {
		size += len(h.Value)
	}
	values := make([]byte, 0, size)
	out := make([]Header, len(hs))
	for i, h := range hs {
		from := len(values)
		values = append(values, h.Value...)
		out[i] = Header{Key: h.Key, Value: values[from:len(values):len(values)]}
	}
	return out
}

// EnvelopeHeaders is Headers of what a record says of itself, for those who write very many: it takes two pieces of
// memory and not five. TestEnvelopeHeadersAreThoseOfTheEnvelope holds that both are the same.
func EnvelopeHeaders(e topic.Envelope) []Header {
	const version, media, sourcePrefix = "1.0", "application/json", "/workspaces/"
	size := len(version) + len(e.ID) + len(e.Type) + len(sourcePrefix) + len(e.Workspace) + len(time.RFC3339Nano) + len(media)
	values := make([]byte, 0, size)
	from := 0
	// What has been appended since the last cut.
	cut := func() []byte {
		value := values[from:len(values):len(values)]
		from = len(values)
		return value
	}
	// Some more place for the headers that a derived record gets.
	out := make([]Header, 6, 8)
	values = append(values, version...)
	out[0] = Header{Key: topic.HeaderSpecVersion, Value: cut()}
	values = append(values, e.ID...)
	out[1] = Header{Key: topic.HeaderID, Value: cut()}
	values = append(values, e.Type...)
	out[2] = Header{Key: topic.HeaderType, Value: cut()}
	values = append(append(values, sourcePrefix...), e.Workspace...)
	out[3] = Header{Key: topic.HeaderSource, Value: cut()}
	values = e.Time.UTC().AppendFormat(values, time.RFC3339Nano)
	out[4] = Header{Key: topic.HeaderTime, Value: cut()}
	values = append(values, media...)
	out[5] = Header{Key: topic.HeaderContentType, Value: cut()}
	return out
}

// HeaderValue is the value of the first header with this key, and whether there is one.
func HeaderValue(r *Record, key string) (string, bool) {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value), true
		}
	}
	return "", false
}

// SetOrigin notes on a derived record which record it was derived from. A Processor refuses outputs without it,
// because it is what tells, after a crash, which inputs were already answered.
func SetOrigin(derived, source *Record) {
	value := topic.AppendOrigin(nil, source.Topic, source.Partition, source.Offset)
	for i := range derived.Headers {
		if derived.Headers[i].Key == topic.HeaderOrigin {
			derived.Headers[i].Value = value
			return
		}
	}
	derived.Headers = append(derived.Headers, Header{Key: topic.HeaderOrigin, Value: value})
}

// ErrNoOrigin says that a record carries no origin header.
var ErrNoOrigin = errors.New("record has no origin")

// Origin reads what SetOrigin wrote. The error is ErrNoOrigin, or says what is wrong with the header.
func Origin(r *Record) (Offset, error) {
	value, ok := HeaderValue(r, topic.HeaderOrigin)
	if !ok {
		return Offset{}, ErrNoOrigin
	}
	// A topic's name contains no slash, so there are exactly three parts.
	name, rest, _ := strings.Cut(value, "/")
	first, second, ok := strings.Cut(rest, "/")
	if !ok {
		return Offset{}, fmt.Errorf("parse origin %q: want topic/partition/offset", value)
	}
	partition, err := strconv.ParseInt(first, 10, 32)
	if err != nil {
		return Offset{}, fmt.Errorf("parse origin %q: %w", value, err)
	}
	offset, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return Offset{}, fmt.Errorf("parse origin %q: %w", value, err)
	}
	if partition < 0 || offset < 0 || name == "" {
		return Offset{}, fmt.Errorf("parse origin %q: out of range", value)
	}
	return Offset{TopicPartition{name, int32(partition)}, offset}, nil
}

// recordOverhead bounds what is added to the bytes of one record: by the format a batch header of 61 bytes, and lengths,
// timestamp and offset of at most 10 bytes each; and, after the record was measured, the header that carries its trace.
const recordOverhead = 128 + len(traces.Header) + traces.HeaderBytes + 10

// RecordSize bounds the bytes that a record takes in a batch of its own, uncompressed. Kafka measures after
// compression, so a record that passes this measure passes Kafka's.
func RecordSize(r *Record) int {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}

// IsControl says whether a record is a transaction marker: it takes an offset but carries nothing.
func IsControl(r *Record) bool { return r.Attrs.IsControl() }

// PartitionOf is the partition that a Producer chooses for a key, which is the one that every Kafka client chooses
// by default (murmur2).
func PartitionOf(key []byte, partitions int) int32 {
	return int32(int(murmur2(key)&math.MaxInt32) % partitions)
}

// murmur2 is MurmurHash 2 of 32 bits with the seed that Kafka's clients use. The client library has it too, but only
// behind a partitioner, and making one of these costs more than everything else that is done for a record.
func murmur2(b []byte) uint32 {
	const (
		seed   = 0x9747b28c
		factor = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * factor
		k = (k ^ k>>24) * factor
		h = h*factor ^ k
	}
	if len(b) > 0 {
		var rest [4]byte
		copy(rest[:], b)
		h = (h ^ binary.LittleEndian.Uint32(rest[:])) * factor
	}
	h = (h ^ h>>13) * factor
	return h ^ h>>15
}
