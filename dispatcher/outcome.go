package dispatcher

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// An endpoint is given up after failing for giveUpAfter without a success between. So many failures of this process must
// be among them, and for so long: one failure now and then is not a failing endpoint.
const (
	giveUpAfter    = 5 * 24 * time.Hour
	giveUpFailures = 5
	giveUpSpan     = 12 * time.Hour
)

// noteFailing is how long an endpoint fails until its state says so, so that one that fails now and then does not have its
// state written again and again.
const noteFailing = time.Minute

// content is the body of a delivery, and the key that keeps what belongs to it.
type content struct {
	body  []byte
	key   *seal.DataKey
	keyID string
}

// open gives the body of a delivery in the clear, or errErased.
func (s *sender) open(ctx context.Context, d *webhook.Delivery) (content, error) {
	if d.Body != "" {
		return content{body: []byte(d.Body)}, nil
	}
	key, err := s.directory.dataKey(ctx, d.Workspace, d.Subject, d.KeyID)
	if err != nil {
		return content{}, err
	}
	plain, err := key.Open(d.Sealed, webhook.BodyData(d.Workspace, d.Type, d.Subject, d.Event))
	if err != nil {
		return content{}, fmt.Errorf("open body of delivery %s: %w", d.ID, err)
	}
	return content{body: plain, key: key, keyID: d.KeyID}, nil
}

// keep puts the answer into the attempt, sealed where the delivery is: it may repeat what it was sent.
func (c content) keep(deliveryID string, res result) {
	switch {
	case len(res.response) == 0:
	case c.key == nil:
		res.attempt.Response = strings.ToValidUTF8(string(res.response), "\uFFFD")
	default:
		res.attempt.KeyID = c.keyID
		res.attempt.Sealed = c.key.Seal(res.response, webhook.ResponseData(deliveryID))
	}
}

// conclude turns the result of an attempt into records: the attempt, what follows for the delivery, and what it means for
// the endpoint, with the reason why that is given up, if it is. An ordered delivery is not put into a retry topic, and
// where it is exhausted its endpoint is given up, because what comes behind it must not overtake it.
func (s *sender) conclude(to *target, d *webhook.Delivery, res result, h health, ordered bool) ([]*stream.Record, string, error) {
	now, a := s.now(), res.attempt
	reason := s.givenUp(to, a, h, now)
	if _, another := nextDelay(d.ID, d.Attempts+1, res.wait); ordered && reason == "" && a.Outcome != webhook.OutcomeSuccess &&
		(!another || tooOld(d, now)) {
		reason = webhook.ReasonBlocked
	}
	out, err := s.outcome(d, a, retrying{id: d.ID, attempts: d.Attempts, ordered: ordered}, reason, res.wait)
	if err != nil {
		return nil, "", err
	}
	more, err := s.note(to, a, h, reason, now)
	return append(out, more...), reason, err
}

// retrying says how a delivery is tried again: its delay depends on the id and the attempts made, which those of a digest
// share.
type retrying struct {
	id       string
	attempts int
	// ordered says that it waits in its lane and not in a retry topic.
	ordered bool
	// digest is the digest's id and size where the delivery was part of one.
	digest string
	size   int
}

// outcome writes what became of a delivery, the attempt first. reason says why its endpoint is given up, if it is.
func (s *sender) outcome(d *webhook.Delivery, a *webhook.Attempt, r retrying, reason string, wait time.Duration) ([]*stream.Record, error) {
	describe(a, d)
	a.Digest, a.Number = r.digest, d.Before+d.Attempts+1
	now := s.now()
	var more []*stream.Record
	var err error
	switch {
	case a.Outcome == webhook.OutcomeSuccess:
		a.Status = webhook.Succeeded
	case d.Once || reason != "":
		a.Status = webhook.Exhausted
	case r.ordered:
		delay, _ := nextDelay(r.id, r.attempts+1, wait)
		a.Status, a.NextAt = webhook.Retrying, eventTime(now.Add(delay))
	default:
		if more, err = s.again(d, a, r, wait, now); err != nil {
			return nil, err
		}
	}
	if a.Status == webhook.Exhausted && !d.Once {
		if more, err = s.exhausted(d, a); err != nil {
			return nil, err
		}
	}
	first, err := s.records.attempt(a)
	if err != nil {
		return nil, err
	}
	return append([]*stream.Record{first}, more...), nil
}

// givenUp says why the endpoint is to be disabled, or nothing.
func (s *sender) givenUp(to *target, a *webhook.Attempt, h health, now time.Time) string {
	if a.Outcome == webhook.OutcomeGone {
		return webhook.ReasonGone
	}
	if a.Outcome == webhook.OutcomeSuccess || to.state == nil || to.state.FailingSince.IsZero() {
		return ""
	}
	if now.Sub(to.state.FailingSince.Time) >= giveUpAfter && h.failures >= giveUpFailures && now.Sub(h.failingSince) >= giveUpSpan {
		return webhook.ReasonFailing
	}
	return ""
}

// again plans the next attempt, if there is one.
func (s *sender) again(d *webhook.Delivery, a *webhook.Attempt, r retrying, wait time.Duration, now time.Time) ([]*stream.Record, error) {
	delay, _ := nextDelay(r.id, r.attempts+1, wait)
	if _, ok := nextDelay(d.ID, d.Attempts+1, wait); !ok {
		a.Status = webhook.Exhausted
		return nil, nil
	}
	next := *d
	next.Attempts, next.Deferrals, next.Digest, next.DigestSize = d.Attempts+1, 0, r.digest, r.size
	out, err := s.records.later(&next, now, delay)
	if err != nil {
		return nil, err
	}
	a.Status, a.NextAt = webhook.Retrying, next.DueAt
	return []*stream.Record{out}, nil
}

// note writes the endpoint's state where it has changed, and tells of an endpoint that was given up.
func (s *sender) note(to *target, a *webhook.Attempt, h health, reason string, now time.Time) ([]*stream.Record, error) {
	at := eventTime(now)
	failing := to.state != nil && !to.state.FailingSince.IsZero()
	next := &webhook.State{Workspace: to.Workspace, ID: to.ID, Revision: to.Revision}
	switch {
	case reason != "":
		next.DisabledAt, next.Reason = at, reason
		if failing {
			next.FailingSince = to.state.FailingSince
		}
	case a.Outcome == webhook.OutcomeSuccess && failing:
	case a.Outcome != webhook.OutcomeSuccess && !failing && !h.failingSince.IsZero() && now.Sub(h.failingSince) >= noteFailing:
		next.FailingSince = eventTime(h.failingSince)
	default:
		return nil, nil
	}
	r, err := s.records.state(next, at)
	if err != nil || reason == "" {
		return []*stream.Record{r}, err
	}
	s.metrics.disabled.WithLabelValues(reason).Inc()
	told, err := s.tell(to.Workspace, to.ID, webhook.EndpointDisabled, object.Ref{Type: webhook.EndpointType, ID: to.ID},
		strconv.FormatInt(to.Revision, 10), at, disabledData{disabledEndpoint{
			ID: to.ID, Reason: reason, DisabledAt: at, FailingSince: next.FailingSince,
		}})
	return append([]*stream.Record{r}, told...), err
}

// exhausted tells of a delivery that nobody tries again.
func (s *sender) exhausted(d *webhook.Delivery, a *webhook.Attempt) ([]*stream.Record, error) {
	if webhook.Operational(d.Type) {
		return nil, nil
	}
	return s.tell(d.Workspace, d.Endpoint, webhook.DeliveryExhausted, object.Ref{Type: "DELIVERY", ID: d.ID}, strconv.Itoa(a.Number),
		a.At, exhaustedData{exhaustedDelivery{
			ID: d.ID, Endpoint: d.Endpoint, Type: d.Type, Subject: d.Subject, Event: d.Event, Attempts: a.Number, Outcome: a.Outcome,
		}})
}

// tell makes a delivery for each other endpoint of the workspace that wants to hear of what became of one.
func (s *sender) tell(workspace, about, eventType string, subject object.Ref, of string, at event.Time, data any) ([]*stream.Record, error) {
	all, err := s.directory.of(workspace)
	if err != nil {
		return nil, err
	}
	var out []*stream.Record
	for _, t := range all {
		if t.ID == about || !t.Wants(eventType) {
			continue
		}
		body, err := encodeBody(eventType, at, data)
		if err != nil {
			return nil, err
		}
		r, err := s.records.delivery(topic.WebhookDeliveries, &webhook.Delivery{
			ID:        webhook.DeliveryID(workspace, eventType, subject, of, t.ID),
			Workspace: workspace, Endpoint: t.ID, Type: eventType, Subject: subject, Event: of, PlannedAt: at, Body: string(body),
		})
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
