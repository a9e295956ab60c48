package stream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
)

// viewDirEnv makes the child keep a view in this folder, instead of running a processor.
const viewDirEnv = "STREAM_TEST_VIEW_DIR"

var countKey = []byte("count")

// counting counts the records that were applied. The count is in the store, so it equals the position exactly if data
// and checkpoint were written together, and no record was applied twice.
func counting(b *pebble.Batch, r *stream.Record) error {
	n, err := readCount(b.Get(countKey))
	if err != nil {
		return err
	}
	return errors.Join(latest(b, r), b.Set(countKey, binary.BigEndian.AppendUint64(nil, n+1), nil))
}

func readCount(raw []byte, closer interface{ Close() error }, err error) (uint64, error) {
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(raw), closer.Close()
}

func runViewChild(ctx context.Context, cfg stream.Config, deps stream.Deps) error {
	vc := viewConfig(os.Getenv(viewDirEnv))
	vc.Apply = counting
	v, err := stream.OpenView(ctx, cfg, vc, deps)
	if err != nil {
		return err
	}
	return errors.Join(v.Run(ctx), v.Close())
}

// TestViewIsWholeAfterItsProcessWasKilled kills the process with SIGKILL while it applies records.
func TestViewIsWholeAfterItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	const n, kills = 60_000, 5
	cfg := config(t, schematest.Kfake(t))
	ensureTopics(t, cfg, stateSpecs(1))
	put(t, cfg, states, 0, 0, n)
	vc := viewConfig(t.TempDir())
	vc.Apply = counting
	tp := stream.TopicPartition{Topic: cfg.Topic(states)}
	midway := 0
	for range kills {
		child := startChild(t, cfg, viewDirEnv+"="+vc.Dir)
		<-time.After(time.Duration(40+rand.IntN(150)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		v, err := stream.OpenView(t.Context(), cfg, vc, deps(t))
		if err != nil {
			t.Fatal(err)
		}
		count, err := readCount(v.DB().Get(countKey))
		if err != nil {
			t.Fatal(err)
		}
		at := v.Position(tp)
		if at != int64(count) {
			t.Errorf("the checkpoint says %d, the data %d", at, count)
		}
		if at > 0 && at < n {
			midway++
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d kills came while records were applied", midway, kills)
	v, _ := openView(t, cfg, vc)
	eventually(t, 30*time.Second, func() (string, bool) {
		count, err := readCount(v.DB().Get(countKey))
		return fmt.Sprintf("%d applied, %v", count, err), count == n
	})
}

// TestViewChangesItsDataAndItsPositionInOneWrite looks at the store all the while records are applied. What a reader can see
// between two writes is what a kill can leave, and kills seldom come just there.
func TestViewChangesItsDataAndItsPositionInOneWrite(t *testing.T) {
	t.Parallel()
	const writes, each = 200, 20
	cfg := config(t, schematest.Kfake(t))
	ensureTopics(t, cfg, stateSpecs(1))
	vc := viewConfig(t.TempDir())
	vc.Apply = counting
	v, _ := openView(t, cfg, vc)
	put(t, cfg, states, 0, 0, each) // so that there is a position
	if err := v.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	positionKey := binary.BigEndian.AppendUint32([]byte("\x00offset/"+cfg.Topic(states)+"/"), 0)
	cl := client(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produced := make(chan error, 1)
	go func() {
		var errs []error
		for range writes - 1 {
			records := make([]*kgo.Record, each)
			for i := range records {
				records[i] = &kgo.Record{Topic: cfg.Topic(states), Key: []byte("k"), Value: []byte("v")}
			}
			errs = append(errs, cl.ProduceSync(t.Context(), records...).FirstErr())
		}
		produced <- errors.Join(errs...)
	}()
	deadline := time.Now().Add(2 * time.Minute)
	seen := map[uint64]bool{}
	for {
		snapshot := v.DB().NewSnapshot()
		count, err := readCount(snapshot.Get(countKey))
		position, failed := readCount(snapshot.Get(positionKey))
		if err := errors.Join(err, failed, snapshot.Close()); err != nil {
			t.Fatal(err)
		}
		if count != position {
			t.Fatalf("a reader sees %d records applied at position %d", count, position)
		}
		if seen[count] = true; count == writes*each {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records are applied in two minutes", count, writes*each)
		}
	}
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Errorf("the store was seen at %d positions only: this run proves nothing", len(seen))
	}
}
