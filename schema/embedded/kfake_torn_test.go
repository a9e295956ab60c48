package embedded_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/embedded"
)

// A reader of committed records knows that it has come to the end by the marker there. After a kill in the middle of a
// transaction there must be one, or whoever reads up to the end waits for ever.
func TestKfakeEndsATransactionThatAKillHasCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first embedded.Kfake
	kill := helper(t, "kfake", dir, &first)
	want := produce(t, client(t, first.Brokers, "torn"), "torn", 3)
	writer, err := kgo.NewClient(kgo.SeedBrokers(first.Brokers...), kgo.TransactionalID("cut-off"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "torn", Value: []byte("never committed")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	kill()

	for start := range 2 { // the second one finds nothing to do
		again := startKfake(t, embedded.KfakeOptions{DataDir: dir})
		got, markers, end := readToEnd(t, again.Brokers, "torn")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("committed records (-want +got):\n%s", diff)
		}
		if markers != 1 || end != 7 { // 3 records, 2 cut off, 1 of the recovery, its marker
			t.Errorf("start %d: got %d markers and %d offsets, want 1 and 7", start, markers, end)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// readToEnd reads what is committed up to the high watermark.
func readToEnd(t *testing.T, brokers []string, topic string) (values []string, markers int, end int64) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ends, err := kadm.NewClient(reader).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	last, _ := ends.Lookup(topic, 0)
	for next := int64(0); next < last.Offset; {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				markers++
				return
			}
			values = append(values, string(r.Value))
		})
	}
	return values, markers, last.Offset
}
