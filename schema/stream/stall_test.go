package stream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/stream"
)

func TestProducerRefusesUnsentWhileNobodyAcknowledgesAndRecoversByItself(t *testing.T) {
	t.Parallel()
	const (
		stall = 300 * time.Millisecond
		calls = 200
	)
	cluster, cfg := fake(t)
	p := newProducer(t, cfg, stream.ProducerConfig{StallAfter: stall})
	one := func() stream.Result { return p.ProduceEach(t.Context(), []*stream.Record{record(cfg, 0)})[0] }
	if r := one(); r.Err != nil {
		t.Fatal(r.Err)
	}
	arrived, release := holdProduce(cluster)
	stuck := make(chan stream.Result, 1)
	sent := time.Now()
	go func() { stuck <- one() }()
	<-arrived
	<-time.After(time.Until(sent.Add(2 * stall)))
	for range calls {
		if r := one(); !errors.Is(r.Err, stream.ErrStalled) || r.Unknown() {
			t.Fatalf("result: %v (unknown %t), want ErrStalled for certain", r.Err, r.Unknown())
		}
	}
	release()
	if r := <-stuck; r.Err != nil {
		t.Errorf("what was sent before the stall: %v", r.Err)
	}
	if r := one(); r.Err != nil {
		t.Errorf("after the stall: %v", r.Err)
	}
	if ends := endOffsets(t, cfg, inputs); ends[0]+ends[1]+ends[2] != 3 {
		t.Errorf("the log ends at %v, want 3 records: refused ones must not be there", ends)
	}
}
