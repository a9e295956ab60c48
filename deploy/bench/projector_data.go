package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// eventsEach is how many events a customer has.
const eventsEach = 100

// rowsEach is how many rows an event gives: one for each of its links, and one in the event log.
const rowsEach = 3

// produceLinked appends linked events as link does, those of a customer after its data key.
func (b *bench) produceLinked(ctx context.Context, n int) error {
	maker, err := recordMaker(b.kafka)
	if err != nil {
		return err
	}
	producer, err := patient(b.kafka, b.log)
	if err != nil {
		return err
	}
	var next atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	for range producers {
		group.Go(func() error {
			for {
				from := int(next.Add(eventsEach)) - eventsEach
				if from >= n {
					return nil
				}
				if err := produceCustomer(groupCtx, producer, maker, from, min(from+eventsEach, n)); err != nil {
					return err
				}
			}
		})
	}
	err = group.Wait()
	if closeErr := producer.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("produce events: %w", err)
	}
	return nil
}

func produceCustomer(ctx context.Context, producer *stream.Producer, maker registry.Records, from, to int) error {
	customer := object.Ref{Type: object.Customer, ID: manyID(from)}
	keyID, key, record, err := maker.NewKey(benchWorkspace, customer)
	if err != nil {
		return err
	}
	if _, err := producer.Produce(ctx, record); err != nil {
		return err
	}
	records := make([]*stream.Record, 0, to-from)
	for i := from; i < to; i++ {
		e, personal := linkedEvent(i, customer)
		e.KeyID = keyID
		plain, err := json.Marshal(personal)
		if err != nil {
			return fmt.Errorf("encode sealed part: %w", err)
		}
		e.Sealed = key.Seal(plain, e.AdditionalData())
		value, err := e.Encode()
		if err != nil {
			return err
		}
		envelope := topic.Envelope{ID: e.ID, Type: topic.TypeEvent, Workspace: benchWorkspace, Time: e.ReceivedAt.Time}
		records = append(records, &stream.Record{
			Topic: maker.Kafka.Topic(topic.Events), Key: topic.Key(benchWorkspace, string(customer.Type), customer.ID), Value: value,
			Headers: stream.Headers(envelope.Headers()),
		})
	}
	_, err = producer.Produce(ctx, records...)
	return err
}

// linkedEvent is an event of a customer and of its account. The same n gives the same event.
func linkedEvent(n int, customer object.Ref) (event.Event, event.Personal) {
	r := rand.New(rand.NewPCG(uint64(n), 2)) //nolint:gosec // the same load in every run, nothing to guess
	words := wordsOf()
	description := make([]string, 14)
	for i := range description {
		description[i] = words[r.IntN(len(words))]
	}
	at := event.TimeOf(time.Now())
	e := event.Event{
		ID: fmt.Sprintf("%016x-%d", r.Uint64(), n), Workspace: benchWorkspace, Type: customer.Type, ObjectID: customer.ID,
		Name: "Help center " + words[r.IntN(len(words))], Source: "help-center", OccurredAt: at, ReceivedAt: at,
		Links: []event.Link{
			{Type: customer.Type, ID: customer.ID, Kind: event.LinkPrimary},
			{Type: object.Account, ID: fmt.Sprintf("a%d", n/1000), Kind: event.LinkRelated, Via: []object.Ref{customer}},
		},
	}
	return e, event.Personal{
		Description: strings.Join(description, " "), Icon: "📖",
		Payload: fmt.Sprintf(`{"articleId":%d,"session":"%016x","path":"/articles/%s-%s","seconds":%d,"helpful":%t}`,
			r.IntN(1e6), r.Uint64(), words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(600), r.IntN(2) == 0),
	}
}
