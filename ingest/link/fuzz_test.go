package link

import (
	"testing"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
)

// FuzzSubmissionsOfAnyProducerAreUnderstoodOrSaidToBeDead checks that whatever stands in the topic is answered, and in the
// same way each time: a batch may be processed again.
func FuzzSubmissionsOfAnyProducerAreUnderstoodOrSaidToBeDead(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"e1","workspace":"acme","objectType":"CUSTOMER","objectId":"c1","name":"n","receivedAt":"2026-01-02T03:04:05Z"}`), int64(1767323045000))
	f.Add([]byte(`{"v":1,"workspace":"acme","objectType":"agent","externalId":"x","relatedObjects":[{"objectType":"?"}],"payload":1e400}`), int64(-1))
	f.Add([]byte(`{"v":1,"workspace":"../x"}`), int64(1<<62))
	f.Add([]byte("\xff"), int64(0))
	f.Fuzz(func(t *testing.T, value []byte, ms int64) {
		r := &stream.Record{Topic: "t", Partition: 1, Offset: 2, Value: value, Timestamp: time.UnixMilli(ms)}
		s, err := parse(r)
		again, errAgain := parse(r)
		if (err == nil) != (errAgain == nil) {
			t.Fatalf("%v the first time, %v the second", err, errAgain)
		}
		if err == nil {
			broken, brokenAgain := complete(s, r), complete(again, r)
			if len(broken) != len(brokenAgain) || s.ID != again.ID || s.ReceivedAt != again.ReceivedAt {
				t.Errorf("%v, %s the first time, %v, %s the second", broken, s.ID, brokenAgain, again.ID)
			}
			if object.ValidateID(s.ID) != nil || s.ReceivedAt.Before(time.UnixMilli(0)) || s.ReceivedAt.Year() > 2200 {
				t.Errorf("id %q, received at %s", s.ID, s.ReceivedAt)
			}
		}
		if e, err := replay(r); err == nil && e.seen().at.Before(time.UnixMilli(0)) {
			t.Errorf("an event of the log was received at %s", e.seen().at)
		}
	})
}
