package dispatcher

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
)

// testBody is the body of a POST to …/test.
type testBody struct {
	// Type is that of the example that is sent; event.linked where it is absent.
	Type string `json:"type"`
}

// deliveryAccepted is the answer to what makes a delivery by hand.
type deliveryAccepted struct {
	DeliveryID string  `json:"deliveryId"`
	Status     string  `json:"status"`
	Position   *string `json:"position"`
}

// testEndpoint sends an example of the catalogue, once, whether or not the endpoint is enabled.
func (s *Service) testEndpoint(w http.ResponseWriter, r *http.Request) error {
	var b testBody
	if r.ContentLength != 0 {
		if err := jsonBody(r, &b); err != nil {
			return err
		}
	} else if err := web.Query(r).Err(); err != nil {
		return err
	}
	t, err := s.endpoint(r)
	if err != nil {
		return err
	}
	all, err := s.catalogue()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(e eventType) bool { return e.Type == orElse(b.Type, webhook.EventLinked) })
	if i < 0 {
		return problem.Invalid(problem.At("/type", "must be a type of /v1/webhook-event-types"))
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	subject := object.Ref{Type: "TEST", ID: t.ID}
	return s.send(w, r, &webhook.Delivery{
		ID:        webhook.DeliveryID(t.Workspace, all[i].Type, subject, id.String(), t.ID),
		Workspace: t.Workspace, Endpoint: t.ID, Type: all[i].Type, Subject: subject, Event: id.String(),
		PlannedAt: event.TimeOf(s.now()), Once: true, Body: string(all[i].Example),
	})
}

// send appends a delivery and answers that it will be made.
func (s *Service) send(w http.ResponseWriter, r *http.Request, d *webhook.Delivery) error {
	// The producer finds the partition of the key by itself.
	out, err := records{kafka: s.deps.Kafka, deliveries: 1}.delivery(topic.WebhookDeliveries, d)
	if err != nil {
		return err
	}
	at, err := s.deps.Producer.Produce(r.Context(), out)
	if err != nil {
		return unavailable(err)
	}
	return web.WriteJSON(w, http.StatusAccepted, deliveryAccepted{
		DeliveryID: d.ID, Status: string(webhook.Pending), Position: positionAt(d.Workspace, topic.WebhookDeliveries, at[0]),
	})
}

// retryDelivery makes one more attempt of a delivery, now, whatever became of it.
func (s *Service) retryDelivery(w http.ResponseWriter, r *http.Request) error {
	id, err := web.PathVar(r, deliveryVar, object.ValidateID)
	if err != nil {
		return err
	}
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	h, err := s.past()
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	found, err := h.delivery(r.Context(), workspace, id, s.deps.Kafka.Topic(topic.WebhookDeliveries))
	if err != nil {
		return err
	}
	if found == nil {
		return problem.New(problem.NotFound, "There is no such delivery.")
	}
	d, err := s.reread(r.Context(), found)
	if err != nil {
		return err
	}
	if d.ID != id || d.Workspace != workspace {
		return problem.New(problem.NotFound, "There is no such delivery.")
	}
	d.Attempts, d.Before, d.Deferrals, d.Again, d.Once = found.attempts, 0, 0, true, true
	return s.send(w, r, d)
}
