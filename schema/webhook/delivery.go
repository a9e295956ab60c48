package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Delivery is one event for one endpoint, in the topics webhook-deliveries and webhook-retries-…. Its key is its
// endpoint's, so that one sender has all deliveries of an endpoint.
type Delivery struct {
	Version   int    `json:"v"`
	ID        string `json:"id"`
	Workspace string `json:"workspace"`
	Endpoint  string `json:"endpoint"`
	// Type is the event's type; Subject is its primary object or its conversation; Event is its id or its version.
	Type    string     `json:"type"`
	Subject object.Ref `json:"subject"`
	Event   string     `json:"event"`
	// PlannedAt is when the event came into the log. It places the delivery in lists, and is the same in every attempt.
	PlannedAt event.Time `json:"plannedAt"`
	// Attempts counts the attempts that were made.
	Attempts int `json:"attempts,omitempty"`
	// Deferrals counts how often the delivery was put off without an attempt since the last one.
	Deferrals int `json:"deferrals,omitempty"`
	// DueAt is when the next attempt may be made; zero means now.
	DueAt event.Time `json:"dueAt,omitzero"`
	// LeavesAt is when the record leaves the retry topic that it is in: the end of one of the hops to DueAt.
	LeavesAt event.Time `json:"leavesAt,omitzero"`
	// Waits is how long the whole delay before the next attempt is, in milliseconds.
	Waits int64 `json:"waits,omitempty"`
	// Again says that the delivery was in the topic before: this record announces no new one.
	Again bool `json:"again,omitempty"`
	// Before counts attempts that were made before the delivery was sent again by a replay: its schedule begins anew, and
	// the numbers of its attempts go on.
	Before int `json:"before,omitempty"`
	// ReplayedAt is when a replay was asked for that sends the delivery again; zero where it is no replay's.
	ReplayedAt event.Time `json:"replayedAt,omitzero"`
	// Digest is the id of the digest that the delivery was part of in its last attempt, of DigestSize deliveries: they are
	// tried again together. Empty where it was posted alone.
	Digest     string `json:"digest,omitempty"`
	DigestSize int    `json:"digestSize,omitempty"`
	// Once says that nothing is tried again: somebody asked for one attempt.
	Once bool `json:"once,omitempty"`
	// Body is what is posted, where it holds nothing personal; otherwise Sealed is, closed with the subject's data key of
	// this id.
	Body   string `json:"body,omitempty"`
	KeyID  string `json:"keyId,omitempty"`
	Sealed []byte `json:"sealed,omitempty"`
}

// Since is when it was decided that the endpoint gets the delivery: an endpoint that was made later is another one.
func (d *Delivery) Since() event.Time {
	if d.ReplayedAt.IsZero() {
		return d.PlannedAt
	}
	return d.ReplayedAt
}

// ParseDelivery reads a record's value. It ignores members that it does not know.
func ParseDelivery(value []byte) (*Delivery, error) {
	d, ok := decodeDelivery(string(value))
	if !ok || d.Version != RecordVersion {
		d = Delivery{}
		if err := decode("delivery", value, &d, &d.Version); err != nil {
			return nil, err
		}
	}
	if d.ID == "" || d.Workspace == "" || d.Endpoint == "" || d.Type == "" {
		return nil, errors.New("parse webhook delivery: id, workspace, endpoint and type are required")
	}
	if (d.Body == "") == (len(d.Sealed) == 0) {
		return nil, errors.New("parse webhook delivery: exactly one of body and sealed is required")
	}
	return &d, nil
}

// BodyData binds the sealed body of a delivery to what it tells of. All deliveries of one event share it.
func BodyData(workspace, eventType string, subject object.Ref, id string) []byte {
	return fmt.Appendf(nil, "webhook-body\x00%s\x00%s\x00%s\x00%s\x00%s", workspace, eventType, subject.Type, subject.ID, id)
}

// ResponseData binds the sealed answer of an attempt to its delivery.
func ResponseData(deliveryID string) []byte { return []byte("webhook-response\x00" + deliveryID) }

// DigestID is the id of a message that several deliveries are gathered in, which its receiver gets as webhook-id: the same
// where the deliveries are the same, in the same order.
func DigestID(deliveries []string) string { return hashID("webhook-digest", deliveries...) }

// DeliveryID is the id of a delivery, which its receiver gets as webhook-id: the same whoever makes it, and however often.
// of is the event's id or the conversation's version.
func DeliveryID(workspace, eventType string, subject object.Ref, of, endpoint string) string {
	return hashID("webhook-delivery", workspace, eventType, string(subject.Type), subject.ID, of, endpoint)
}

func hashID(kind string, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{kind}, parts...) {
		// With the length before each part no two lists of parts are the same bytes.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return "msg_" + hex.EncodeToString(h.Sum(nil)[:16])
}
