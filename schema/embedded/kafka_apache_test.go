package embedded_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/embedded"
)

// needKafka skips the test where Apache Kafka cannot be had.
func needKafka(t *testing.T) {
	t.Helper()
	_, err := embedded.FetchKafka(t.Context(), embedded.FetchOptions{Progress: os.Stderr})
	if errors.Is(err, embedded.ErrNoKafka) && os.Getenv("INTEGRATION") != "required" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func startApache(t *testing.T, opts embedded.ApacheKafkaOptions) *embedded.ApacheKafka {
	t.Helper()
	cluster, err := embedded.StartApacheKafka(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

func TestApacheKafkaEndsWithAParentThatIsKilledAndKeepsItsData(t *testing.T) {
	t.Parallel()
	needKafka(t)
	dir := t.TempDir()
	var first embedded.ApacheKafka
	kill := helper(t, "kafka", dir, &first)
	want := produce(t, client(t, first.Brokers, "kept"), "kept", 20)
	old := processes(t, dir)
	if len(old) != 2 {
		t.Fatalf("processes of the broker: %v, want a supervisor and a Java", old)
	}
	kill()
	eventually(t, "supervisor and Java ended with their parent", func() bool { return len(processes(t, dir)) == 0 })

	second := startApache(t, embedded.ApacheKafkaOptions{DataDir: dir, ShortLived: true})
	_, err := embedded.StartApacheKafka(t.Context(), embedded.ApacheKafkaOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
	if !errors.Is(err, embedded.ErrFolderInUse) {
		t.Errorf("third start: %v, want that the folder is in use", err)
	}
	got := consume(t, client(t, second.Brokers, "kept"), len(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records after the kill (-want +got):\n%s", diff)
	}
	if err := second.Err(); err != nil {
		t.Errorf("a running broker says %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	<-second.Done()
	if left := processes(t, dir); len(left) != 0 {
		t.Errorf("processes left after an orderly end: %v", left)
	}
}

func TestApacheKafkaOfThreeServesWithOneBrokerDown(t *testing.T) {
	if testing.Short() {
		t.Skip("three brokers take half a minute")
	}
	t.Parallel()
	needKafka(t)
	dir := t.TempDir()
	cluster := startApache(t, embedded.ApacheKafkaOptions{DataDir: dir, Brokers: 3})
	brokers := slices.Clone(cluster.Brokers)
	want := produce(t, client(t, cluster.Brokers, "kept"), "kept", 5)
	if err := cluster.Kill(0); err != nil {
		t.Fatal(err)
	}
	if left := len(processes(t, dir)); left != 4 {
		t.Errorf("%d processes after one of three brokers was killed, want 4", left)
	}
	got := consume(t, client(t, cluster.Brokers, "kept"), len(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records with one broker down (-want +got):\n%s", diff)
	}
	if err := cluster.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	got = consume(t, client(t, brokers[:1], "kept"), len(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records by way of the restarted broker (-want +got):\n%s", diff)
	}
	for i := range brokers {
		if err := cluster.Kill(i); err != nil {
			t.Error(err)
		}
	}
}
