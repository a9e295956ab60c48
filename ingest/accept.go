package ingest

import (
	"context"
	"errors"
	"net/http"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// linked is the answer to an event whose primary object was found.
type linked struct {
	Message          string       `json:"message"`
	ID               string       `json:"id"`
	ProcessingStatus event.Status `json:"processingStatus"`
	ObjectType       object.Type  `json:"objectType"`
	ObjectID         string       `json:"objectId"`
	Position         *string      `json:"position"`
}

// pending is the answer to an event whose primary object is looked up later.
type pending struct {
	Message          string       `json:"message"`
	ID               string       `json:"id"`
	ProcessingStatus event.Status `json:"processingStatus"`
	Position         *string      `json:"position"`
}

// postEvent accepts one event: it answers 2xx only once the brokers have it.
func (s *Service) postEvent(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	body, err := jsonBody(r, event.MaxEventBytes)
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	sub, refused := decodeEvent(body, r.Header, s.now())
	if refused != nil {
		return s.refuse(sub, workspace, event.StatusInvalid, refused, body)
	}
	sub.Workspace = workspace
	async := prefers(r, "respond-async")
	if !async {
		if err := s.resolve(r.Context(), sub, body); err != nil {
			return err
		}
	}
	where, err := s.append(r.Context(), sub)
	if err != nil {
		s.metrics.events.WithLabelValues("unavailable").Inc()
		return err
	}
	if async {
		s.metrics.events.WithLabelValues("pending").Inc()
		w.Header().Set("Preference-Applied", "respond-async")
		return web.WriteJSON(w, http.StatusAccepted, pending{"Event Accepted", sub.ID, event.StatusPending, where.Encode(workspace)})
	}
	s.metrics.events.WithLabelValues("linked").Inc()
	return web.WriteJSON(w, http.StatusOK, linked{"Event Linked", sub.ID, event.StatusLinked, sub.Type, sub.ObjectID, where.Encode(workspace)})
}

// resolve finds the primary object of a submission, or refuses it.
func (s *Service) resolve(ctx context.Context, sub *event.Submission, sent []byte) error {
	id, err := s.locate(ctx, sub.Workspace, lookup(sub))
	return s.resolved(sub, id, err, sent)
}

// resolved takes the id that a look-up of the primary object gave.
func (s *Service) resolved(sub *event.Submission, id string, err error, sent []byte) error {
	switch {
	case err == nil:
		sub.ObjectID, sub.Resolved = id, true
		return nil
	case errors.Is(err, registry.ErrNotFound):
		return s.refuse(sub, sub.Workspace, event.StatusNotFound, notFound(sub), sent)
	case errors.Is(err, registry.ErrMismatch):
		p := problem.Invalid(problem.At("/externalId", "is that of another object than objectId"))
		return s.refuse(sub, sub.Workspace, event.StatusInvalid, p, sent)
	default:
		s.metrics.events.WithLabelValues("unavailable").Inc()
		return unavailable(err)
	}
}

func notFound(sub *event.Submission) *problem.Problem {
	switch {
	case sub.ExternalID == "":
		return problem.Newf(problem.ObjectNotFound, "There is no %s with the objectId %q.", sub.Type, sub.ObjectID)
	case sub.ObjectID == "":
		return problem.Newf(problem.ObjectNotFound, "There is no %s with the externalId %q.", sub.Type, sub.ExternalID)
	default:
		return problem.Newf(problem.ObjectNotFound, "There is no %s with the objectId %q or the externalId %q.", sub.Type, sub.ObjectID, sub.ExternalID)
	}
}

// append writes a submission to the log and says where it stands.
func (s *Service) append(ctx context.Context, sub *event.Submission) (position.Position, error) {
	record, err := s.submissionRecord(sub)
	if err != nil {
		return position.Position{}, err
	}
	offsets, err := s.producer.Produce(ctx, record)
	if err != nil {
		return position.Position{}, unavailable(err)
	}
	return at(topic.Submissions, offsets[0], !sub.Resolved), nil
}

// submissionRecord is a submission as it goes into the log.
func (s *Service) submissionRecord(sub *event.Submission) (*stream.Record, error) {
	value, err := sub.Encode()
	if err != nil {
		return nil, err
	}
	return &stream.Record{
		Topic: s.submissions, Key: s.submissionKey(sub), Value: value, Timestamp: sub.ReceivedAt.Time,
		Headers: stream.EnvelopeHeaders(topic.Envelope{
			ID: sub.ID, Type: topic.TypeSubmission, Workspace: sub.Workspace, Time: sub.ReceivedAt.Time,
		}),
	}, nil
}

// submissionKey puts a submission into the partition of its primary object. Where that is to be found later it is a guess
// without a wait, which spares link from moving the record; link moves it where the guess was wrong.
func (s *Service) submissionKey(sub *event.Submission) []byte {
	if sub.ObjectID != "" {
		return topic.Key(sub.Workspace, string(sub.Type), sub.ObjectID)
	}
	id, err := s.registry.LocateLocal(sub.Workspace, object.Lookup{Type: sub.Type, ExternalID: sub.ExternalID})
	if err == nil {
		return topic.Key(sub.Workspace, string(sub.Type), id)
	}
	return topic.Key(sub.Workspace, string(sub.Type), "ext", s.master.ExternalToken(sub.Workspace, sub.Type, sub.ExternalID))
}
