package schematest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/schematest"
)

func TestEveryKindOfBrokerCommitsATransactionThatAReaderSees(t *testing.T) {
	t.Parallel()
	for name, brokers := range map[string]func(testing.TB) []string{
		"the kind of this run": schematest.Kafka,
		"apache kafka":         schematest.ApacheKafka,
		"kfake":                schematest.Kfake,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds, prefix := brokers(t), schematest.Prefix(t)
			topic := prefix + "records"
			client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.TransactionalID(prefix+"tx"),
				kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			// A replication factor of -1 is the broker's default, which must
			// suit the number of its brokers.
			if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, -1, nil, topic); err != nil {
				t.Fatal(err)
			}
			commit := func(end kgo.TransactionEndTry, value string) {
				if err := client.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				record := &kgo.Record{Topic: topic, Value: []byte(value)}
				if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if err := client.EndTransaction(t.Context(), end); err != nil {
					t.Fatal(err)
				}
			}
			commit(kgo.TryAbort, "aborted")
			commit(kgo.TryCommit, "committed")
			var got []string
			for len(got) == 0 {
				fetches := client.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
			}
			if diff := cmp.Diff([]string{"committed"}, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			var records int64
			ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
			if records != 4 { // two records and a marker for each transaction
				t.Errorf("end offsets add up to %d, want 4", records)
			}
		})
	}
}

func TestPrefixIsNewForEachCall(t *testing.T) {
	t.Parallel()
	if one, two := schematest.Prefix(t), schematest.Prefix(t); one == two {
		t.Errorf("both prefixes are %s", one)
	}
}
