package projections_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// oneKey opens what one data key has sealed.
type oneKey struct{ key *seal.DataKey }

func (k oneKey) Open(_ context.Context, s projections.Sealed) ([]byte, bool, error) {
	plain, err := k.key.Open(s.Bytes, s.Additional)
	return plain, true, err
}

// sealedEvents are records of the topic events that two timelines have, with a payload and a description of usual length.
func sealedEvents(b *testing.B, n int) ([]projections.Record, oneKey) {
	b.Helper()
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	if err != nil {
		b.Fatal(err)
	}
	customer := object.Ref{Type: object.Customer, ID: "c1"}
	rec, key, err := master.NewKey("ws", customer, stamp())
	if err != nil {
		b.Fatal(err)
	}
	records := make([]projections.Record, n)
	for i := range records {
		e := event.Event{
			ID: fmt.Sprintf("%016x", i*7919), Workspace: "ws", Type: object.Customer, ObjectID: "c1", Name: "Help center search", Source: "help-center",
			OccurredAt: event.TimeOf(stamp()), ReceivedAt: event.TimeOf(stamp()), KeyID: rec.ID,
			Links: []event.Link{
				{Type: object.Customer, ID: "c1", Kind: event.LinkPrimary},
				{Type: object.Account, ID: "a1", Kind: event.LinkRelated, Via: []object.Ref{customer}},
			},
		}
		plain, err := json.Marshal(event.Personal{
			Description: strings.Repeat(fmt.Sprintf("asked how to export an invoice number %d ", i), 3), Icon: "📖",
			Payload: fmt.Sprintf(`{"articleId":%d,"session":"%016x","path":"/articles/export","seconds":%d,"helpful":true}`, i, i*104729, i%600),
		})
		if err != nil {
			b.Fatal(err)
		}
		e.Sealed = key.Seal(plain, e.AdditionalData())
		value, err := e.Encode()
		if err != nil {
			b.Fatal(err)
		}
		records[i] = record(topic.Events, "ws/CUSTOMER/c1", value)
		records[i].Offset = int64(i)
	}
	return records, oneKey{key}
}

// BenchmarkEvent measures what the tables that read events make of one, each by itself and sharing what they read.
func BenchmarkEvent(b *testing.B) {
	records, key := sealedEvents(b, 1000)
	for _, bench := range []struct {
		name   string
		shared *projections.Shared
	}{{"alone", nil}, {"shared", projections.NewShared(1 << 20)}} {
		b.Run(bench.name, func(b *testing.B) {
			tables := []projections.Projection{projections.Timeline(), projections.EventLog()}
			blocks := make([]table.Block, len(tables))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				rec := records[i%len(records)]
				rec.Shared = bench.shared
				for t, p := range tables {
					if blocks[t].Rows() >= 2000 {
						blocks[t].Reset()
					}
					if err := p.Transform(b.Context(), rec, key, &blocks[t]); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
