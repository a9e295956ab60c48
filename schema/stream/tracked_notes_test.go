package stream

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/topic"
)

// TestAPartitionIsGainedOnceTheClientHasIt tells of an assignment at the moment at which the library does: before the client
// itself has the partition. What is gained then and lost again would be read by nobody, for as long as it stays.
func TestAPartitionIsGainedOnceTheClientHasIt(t *testing.T) {
	t.Parallel()
	c, err := NewTracked(Config{Brokers: []string{"127.0.0.1:1"}, ClientID: "test", Prefix: "test"},
		TrackedConfig{Role: "r", Instance: "i", Inputs: []topic.Name{topic.Events}, Outputs: []topic.Name{topic.DeadLetters}},
		func(context.Context, *Task) {}, Deps{Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	tp := TopicPartition{"in", 3}
	has := map[string]map[int32]kgo.EpochOffset{"in": {3: {}}}
	tell := func(offset int64) {
		if _, err := c.onOffsets(t.Context(), map[string]map[int32]kgo.Offset{"in": {3: kgo.NewOffset().At(offset)}}); err != nil {
			t.Fatal(err)
		}
	}
	heed := func(ours map[string]map[int32]kgo.EpochOffset) (gained, lost []TopicPartition) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.heedLocked(t.Context(), ours)
	}

	tell(7)
	if gained, lost := heed(nil); len(gained) != 0 || len(lost) != 0 || c.parts[tp] != nil {
		t.Fatalf("gained %v and lost %v before the client has it", gained, lost)
	}
	if gained, _ := heed(has); !slices.Equal(gained, []TopicPartition{tp}) || c.parts[tp] == nil || c.parts[tp].committed.Offset != 7 {
		t.Fatalf("gained %v when the client has it, with %+v", gained, c.parts[tp])
	}
	if gained, _ := heed(has); len(gained) != 0 {
		t.Errorf("gained %v without news", gained)
	}
	if _, lost := heed(nil); !slices.Equal(lost, []TopicPartition{tp}) || c.parts[tp] != nil {
		t.Errorf("lost %v when the client has it no more", lost)
	}

	// An assignment that never came to be counts for nothing when the partition comes at last.
	tell(8)
	heed(nil)
	tell(9)
	if heed(has); c.parts[tp] == nil || c.parts[tp].committed.Offset != 9 {
		t.Errorf("the partition is ours with %+v, want the latest assignment's 9", c.parts[tp])
	}
	c.onRevoked(t.Context(), nil, map[string][]int32{"in": {3}})
	tell(10)
	heed(nil)
	c.onRevoked(t.Context(), nil, map[string][]int32{"in": {3}})
	if heed(nil); len(c.notes) != 0 {
		t.Errorf("%v is kept of what was revoked", c.notes)
	}
}
