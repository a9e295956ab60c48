package stream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func TestOriginSurvivesARoundTripAndIsReplaced(t *testing.T) {
	t.Parallel()
	derived := &stream.Record{Headers: []stream.Header{{Key: "ce_id", Value: []byte("1")}}}
	for _, offset := range []int64{5, 6} {
		stream.SetOrigin(derived, &stream.Record{Topic: "throughline.submissions.v1", Partition: 3, Offset: offset})
		got, err := stream.Origin(derived)
		if err != nil {
			t.Fatal(err)
		}
		want := stream.Offset{TopicPartition: stream.TopicPartition{Topic: "throughline.submissions.v1", Partition: 3}, Offset: offset}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("origin (-want +got):\n%s", diff)
		}
	}
	if len(derived.Headers) != 2 {
		t.Errorf("headers: %v, want one origin", derived.Headers)
	}
}

func TestEnvelopeHeadersAreThoseOfTheEnvelope(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	for name, e := range map[string]topic.Envelope{
		"whole":           {ID: "e1", Type: topic.TypeSubmission, Workspace: "acme", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		"with a fraction": {ID: "ü/%", Type: topic.TypeEvent, Workspace: "a-b", Time: time.Date(2026, 3, 1, 12, 0, 0, 123456789, berlin)},
		"empty":           {},
	} {
		got := stream.EnvelopeHeaders(e)
		if diff := cmp.Diff(stream.Headers(e.Headers()), got); diff != "" {
			t.Errorf("%s (-one by one +at once):\n%s", name, diff)
		}
		// A header that grows must not write into the next one.
		_ = append(got[0].Value, "overwritten"...)
		if diff := cmp.Diff(stream.Headers(e.Headers()), got); diff != "" {
			t.Errorf("%s: headers share what follows them:\n%s", name, diff)
		}
	}
}

func TestOriginRefusesWhatNobodyWrote(t *testing.T) {
	t.Parallel()
	if _, err := stream.Origin(&stream.Record{}); !errors.Is(err, stream.ErrNoOrigin) {
		t.Errorf("without a header: %v, want ErrNoOrigin", err)
	}
	for name, value := range map[string]string{
		"empty":                  "",
		"two parts":              "t/1",
		"four parts":             "t/1/2/3",
		"no topic":               "/1/2",
		"a negative partition":   "t/-1/2",
		"a negative offset":      "t/1/-2",
		"a partition over int32": "t/4294967296/2",
		"letters":                "t/a/b",
	} {
		r := &stream.Record{Headers: []stream.Header{{Key: topic.HeaderOrigin, Value: []byte(value)}}}
		if o, err := stream.Origin(r); err == nil || errors.Is(err, stream.ErrNoOrigin) {
			t.Errorf("%s: %v, %v, want an error about the header", name, o, err)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{"t/0/0", "", "///", "throughline.events.v1/11/9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := &stream.Record{Headers: []stream.Header{{Key: topic.HeaderOrigin, Value: []byte(value)}}}
		o, err := stream.Origin(r)
		if err != nil {
			return
		}
		// What is accepted means the same after it was written again.
		again := &stream.Record{}
		stream.SetOrigin(again, &stream.Record{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset})
		got, err := stream.Origin(again)
		if err != nil || got != o {
			t.Errorf("%q gave %v, written again %v, %v", value, o, got, err)
		}
	})
}

func FuzzPartitionOfIsThatOfTheClientLibrary(f *testing.F) {
	for _, seed := range []string{"", "a", "ab", "abc", "abcd", "shop/CUSTOMER/c19a7d78", "\xff\xfe\xfd\x80\x81"} {
		f.Add([]byte(seed), uint8(12))
	}
	f.Fuzz(func(t *testing.T, key []byte, partitions uint8) {
		if partitions == 0 || key == nil {
			return // a topic has partitions, and a record without a key has no place of its own
		}
		want := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&stream.Record{Key: key}, int(partitions))
		if got := stream.PartitionOf(key, int(partitions)); int(got) != want {
			t.Errorf("%q of %d: partition %d, the client library has %d", key, partitions, got, want)
		}
	})
}
