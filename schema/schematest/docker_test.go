package schematest_test

import (
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/schematest"
)

// TestAClusterInContainersServesWithABrokerKilledAndTakesItBack is about containers: package embedded has the same for
// brokers without.
func TestAClusterInContainersServesWithABrokerKilledAndTakesItBack(t *testing.T) {
	t.Parallel()
	if os.Getenv("SERVERS") != "docker" {
		t.Skip("containers are for SERVERS=docker")
	}
	cluster := schematest.ApacheCluster(t, 3)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers...), kgo.DefaultProduceTopic("kept"), kgo.ConsumeTopics("kept"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 3, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	produce := func(value string) {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce("before")
	if err := cluster.Kill(1); err != nil {
		t.Fatal(err)
	}
	produce("without")
	if err := cluster.Restart(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	produce("after")
	for seen := 0; seen < 3; {
		fetches := client.PollFetches(t.Context())
		if t.Context().Err() != nil {
			t.Fatal("records are missing")
		}
		seen += fetches.NumRecords()
	}
}
