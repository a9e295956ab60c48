package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
)

// childEnv holds the configuration of what this binary runs instead of its tests.
const childEnv = "STREAM_TEST_PROCESSOR"

func runChild() int {
	var cfg stream.Config
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// Ends by being killed; the time is a bound for the case that the parent died first.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	deps := stream.Deps{Log: slog.New(slog.DiscardHandler)}
	run := runProcessorChild
	if os.Getenv(viewDirEnv) != "" {
		run = runViewChild
	}
	if err := run(ctx, cfg, deps); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runProcessorChild(ctx context.Context, cfg stream.Config, deps stream.Deps) error {
	pc := processorConfig()
	// Small batches, so that most of the time a transaction is open.
	pc.MaxBatchRecords = 50
	p, err := stream.NewProcessor(cfg, pc, newCopier(cfg), deps)
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// startChild runs this binary as the process to be killed.
func startChild(t *testing.T, cfg stream.Config, env ...string) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(append(os.Environ(), childEnv+"="+string(raw)), env...)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child
}

// TestProcessorLosesAndRepeatsNothingWhenItIsKilled kills the process with SIGKILL at random moments, most of them
// inside a transaction, and starts it again each time.
func TestProcessorLosesAndRepeatsNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	const n, kills = 20_000, 3
	cfg := config(t, schematest.ApacheKafka(t))
	ensureTopics(t, cfg, specs(2))
	commitInitial(t, cfg, "copy", inputs)
	put(t, cfg, inputs, 0, 0, n)
	put(t, cfg, inputs, 1, n, n)
	midway := 0
	for range kills {
		child := startChild(t, cfg)
		before := endOffsets(t, cfg, outputs)
		// Wait until it works, and then a random while.
		eventually(t, 30*time.Second, func() (string, bool) {
			return "the child writes nothing", !cmp.Equal(before, endOffsets(t, cfg, outputs))
		})
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if !cmp.Equal(committedOffsets(t, cfg, "copy"), endOffsets(t, cfg, inputs)) {
			midway++
		}
	}
	if midway == 0 {
		t.Error("every kill came too late to prove anything")
	}
	startProcessor(t, cfg, processorConfig(), newCopier(cfg))
	awaitEnd(t, cfg, 60*time.Second)
	want := map[int32][]string{0: valueRange(0, n), 1: valueRange(n, n)}
	if diff := cmp.Diff(want, committedValues(t, cfg, outputs)); diff != "" {
		t.Errorf("outputs differ (-want +got):\n%.2000s", diff)
	}
}
