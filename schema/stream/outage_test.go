package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
)

// TestEverythingGoesOnAfterTheBrokerWasKilled kills the only broker with SIGKILL while a processor, a view and a
// consumer run, and starts it again on its data.
func TestEverythingGoesOnAfterTheBrokerWasKilled(t *testing.T) {
	t.Parallel()
	cluster := schematest.ApacheCluster(t, 1)
	cfg := config(t, cluster.Brokers)
	ensureTopics(t, cfg, append(specs(2), stateSpecs(1)...))
	commitInitial(t, cfg, "copy", inputs)
	commitInitial(t, cfg, "sink", inputs)
	put(t, cfg, inputs, 0, 0, 500)
	put(t, cfg, states, 0, 0, 5)
	c := newCopier(cfg)
	p, _ := startProcessor(t, cfg, processorConfig(), c)
	v, _ := openView(t, cfg, viewConfig(t.TempDir()))
	consumer := newConsumer(t, cfg)
	pollUntil(t, consumer, func(all stream.Polled) bool { return endOf(all) == 500 })
	awaitEnd(t, cfg, 30*time.Second)
	if err := v.Barrier(t.Context()); err != nil {
		t.Fatalf("barrier: %v", err)
	}

	if err := cluster.Kill(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := v.Barrier(ctx); err == nil {
		t.Error("a barrier was passed without a broker")
	}
	// What is started while the broker is away waits for it.
	opened := make(chan error, 1)
	late := cfg
	late.ClientID = "late"
	lateConfig := viewConfig(t.TempDir())
	go func() {
		v, err := stream.OpenView(t.Context(), late, lateConfig, deps(t))
		if err == nil {
			err = v.Close()
		}
		tail, failed := stream.OpenTail(t.Context(), late, "tail", states, deps(t))
		if failed == nil {
			tail.Close()
		}
		opened <- errors.Join(err, failed)
	}()
	if err := cluster.Restart(context.WithoutCancel(t.Context()), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("a view and a tail that were opened while the broker was away: %v", err)
	}

	put(t, cfg, inputs, 0, 500, 500)
	put(t, cfg, states, 0, 5, 1)
	awaitEnd(t, cfg, 60*time.Second)
	if diff := cmp.Diff(map[int32][]string{0: valueRange(0, 1000)}, committedValues(t, cfg, outputs)); diff != "" {
		t.Errorf("outputs (-want +got):\n%.1000s", diff)
	}
	eventually(t, 20*time.Second, func() (string, bool) {
		err := v.Barrier(t.Context())
		return fmt.Sprint(err), err == nil
	})
	if got := get(t, v, "k5"); got != "v5" {
		t.Errorf("k5 is %s", got)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	pollUntil(t, consumer, func(all stream.Polled) bool { return endOf(all) == 1000 })
}
