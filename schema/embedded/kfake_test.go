package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/embedded"
)

func startKfake(t *testing.T, opts embedded.KfakeOptions) *embedded.Kfake {
	t.Helper()
	server, err := embedded.StartKfake(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// client opens a client that reads topic from its start.
func client(t *testing.T, brokers []string, topic string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// produce creates a topic of one partition and writes count records to it.
func produce(t *testing.T, client *kgo.Client, topic string, count int) (values []string) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		values = append(values, fmt.Sprintf("record %d", i))
		record := &kgo.Record{Topic: topic, Value: []byte(values[i])}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// consume reads count records.
func consume(t *testing.T, client *kgo.Client, count int) (values []string) {
	t.Helper()
	for len(values) < count {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestKfakeKeepsWhatItAcknowledgedOverAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first embedded.Kfake
	kill := helper(t, "kfake", dir, &first)
	want := produce(t, client(t, first.Brokers, "kept"), "kept", 50)
	kill()

	second := startKfake(t, embedded.KfakeOptions{DataDir: dir})
	got := consume(t, client(t, second.Brokers, "kept"), len(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records after the kill (-want +got):\n%s", diff)
	}
}

func TestKfakeRefusesAFolderThatALivingBrokerOwns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startKfake(t, embedded.KfakeOptions{DataDir: dir})
	_, err := embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
	if !errors.Is(err, embedded.ErrFolderInUse) {
		t.Errorf("second start: %v, want that the folder is in use", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	startKfake(t, embedded.KfakeOptions{DataDir: dir, OwnerWait: 50 * time.Millisecond})
}

func TestKfakeWaitsForADyingOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startKfake(t, embedded.KfakeOptions{DataDir: dir})
	timer := time.AfterFunc(100*time.Millisecond, func() { _ = first.Close() })
	t.Cleanup(func() { timer.Stop() })
	startKfake(t, embedded.KfakeOptions{DataDir: dir})
}

func TestKfakeRefusesAFolderOfAnotherFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "FORMAT"), []byte("kfake 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.StartKfake(t.Context(), embedded.KfakeOptions{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), `"kfake 99"`) {
		t.Errorf("start: %v, want a refusal of the format", err)
	}
}

func TestKfakeWarnsAboutALogThatIsLarge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	quiet := &lines{}
	server := startKfake(t, embedded.KfakeOptions{DataDir: dir, Logger: slog.New(slog.NewTextHandler(quiet, nil))})
	produce(t, client(t, server.Brokers, "some"), "some", 3)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if text := quiet.String(); strings.Contains(text, "log is large") {
		t.Errorf("a small log is called large:\n%s", text)
	}
	loud := &lines{}
	startKfake(t, embedded.KfakeOptions{DataDir: dir, LogWarnBytes: 10, Logger: slog.New(slog.NewTextHandler(loud, nil))})
	eventually(t, "a warning about the size of the log", func() bool {
		return strings.Contains(loud.String(), "log is large") && strings.Contains(loud.String(), "warn_bytes=10")
	})
}

// lines collects what a logger writes from several goroutines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
