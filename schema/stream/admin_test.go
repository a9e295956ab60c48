package stream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

func TestEnsureTopicsCreatesWhatIsMissingAndVerifiesTheRest(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			all := topic.Layout(2)
			created, err := stream.EnsureTopics(t.Context(), cfg, deps(t), all[:2], 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(created) != 2 {
				t.Errorf("created %v, want two", created)
			}
			created, err = stream.EnsureTopics(t.Context(), cfg, deps(t), all, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(created) != len(all)-2 {
				t.Errorf("created %v, want the %d others", created, len(all)-2)
			}
			created, err = stream.EnsureTopics(t.Context(), cfg, deps(t), all, 1)
			if err != nil || len(created) != 0 {
				t.Errorf("again: created %v, %v", created, err)
			}
		})
	}
}

func TestEnsureTopicsNamesEveryDifferenceAndChangesNothing(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, []topic.Spec{{Name: inputs, Partitions: 2, Retention: time.Hour}, {Name: states, Partitions: 1}})
			_, err := stream.EnsureTopics(t.Context(), cfg, deps(t), []topic.Spec{
				{Name: inputs, Partitions: 3, Retention: 2 * time.Hour},
				stateSpecs(1)[0],
			}, 1)
			for _, want := range []string{"has 2 partitions, want 3", "retention.ms=3600000, want 7200000", "cleanup.policy=delete, want compact"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			// A longer retention than ours is an operator's choice.
			if _, err := stream.EnsureTopics(t.Context(), cfg, deps(t), []topic.Spec{{Name: inputs, Partitions: 2, Retention: time.Minute}}, 1); err != nil {
				t.Errorf("with a longer retention: %v", err)
			}
		})
	}
}

func TestCommitInitialOffsetsLeavesWhatIsCommittedAlone(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(3))
			put(t, cfg, inputs, 0, 0, 10)
			put(t, cfg, inputs, 1, 0, 10)
			deleteBelow(t, cfg, inputs, 1, 4)
			commitAt(t, cfg, 0, 6)
			commitInitial(t, cfg, "sink", inputs)
			if diff := cmp.Diff(map[int32]int64{0: 6, 1: 4, 2: 0}, committedOffsets(t, cfg, "sink")); diff != "" {
				t.Errorf("committed (-want +got):\n%s", diff)
			}
			commitAt(t, cfg, 2, 0)
			commitInitial(t, cfg, "sink", inputs)
			if diff := cmp.Diff(map[int32]int64{0: 6, 1: 4, 2: 0}, committedOffsets(t, cfg, "sink")); diff != "" {
				t.Errorf("committed by the second run (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRefusesASecondClientOfTheSameNameOnOneRegistry(t *testing.T) {
	t.Parallel()
	_, cfg := fake(t)
	reg := prometheus.NewRegistry()
	first, err := stream.Open(cfg, deps(t).Log, reg)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := stream.Open(cfg, deps(t).Log, reg); err == nil {
		second.Close()
		t.Error("a second client of the same name was opened")
	}
	first.Close()
	again, err := stream.Open(cfg, deps(t).Log, reg)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
}
