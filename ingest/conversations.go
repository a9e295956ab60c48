package ingest

import (
	"context"
	"net/http"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// conversationVar is the routes' variable.
const conversationVar = "conversationId"

// decided is the answer to a command that was accepted.
type decided struct {
	ConversationID string             `json:"conversationId"`
	ID             string             `json:"id"`
	Version        int64              `json:"version"`
	State          conversation.State `json:"state"`
	Changed        bool               `json:"changed"`
	Missing        []object.Lookup    `json:"missing"`
	Position       *string            `json:"position"`
}

// undecided is the answer to a command whose reply is overdue: it is durable and will be decided.
type undecided struct {
	Message          string       `json:"message"`
	ConversationID   string       `json:"conversationId"`
	ID               string       `json:"id"`
	ProcessingStatus event.Status `json:"processingStatus"`
	Position         *string      `json:"position"`
}

// postTransition appends a command and answers what became of it.
func (s *Service) postTransition(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	id, err := web.PathVar(r, conversationVar, object.ValidateID)
	if err != nil {
		return err
	}
	body, err := jsonBody(r, conversation.MaxCommandBytes)
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	c, refused := decodeTransition(body, id, r.Header, s.now())
	if refused != nil {
		s.metrics.transitions.WithLabelValues("invalid").Inc()
		return refused
	}
	c.Workspace = workspace
	results, err := s.command(r.Context(), []*conversation.Command{c})
	if err != nil {
		return err
	}
	result := results[0]
	where := result.where.Encode(workspace)
	switch {
	case result.err != nil:
		return result.err
	case result.reply == nil:
		return web.WriteJSON(w, http.StatusAccepted, undecided{"Transition Accepted", id, c.ID, event.StatusPending, where})
	default:
		return web.WriteJSON(w, http.StatusOK, decided{
			id, c.ID, result.reply.Version, result.reply.State, result.reply.Changed, result.reply.Missing, where,
		})
	}
}

// outcome is what became of a command: a refusal, a reply, or neither of them yet.
type outcome struct {
	err   error
	reply *conversation.Reply
	where position.Position
}

// command appends commands, in their order, and waits for their replies. Its error is one of the whole request.
func (s *Service) command(ctx context.Context, commands []*conversation.Command) ([]outcome, error) {
	request := newID()
	ids := make([]string, len(commands))
	records := make([]*stream.Record, len(commands))
	for i, c := range commands {
		ids[i] = requestID(request, i)
		c.Request = ids[i]
		record, err := s.commandRecord(c)
		if err != nil {
			return nil, err
		}
		records[i] = record
	}
	awaited, err := s.replies.expect(ids)
	if err != nil {
		return nil, err
	}
	defer s.replies.forget(awaited)
	results := make([]outcome, len(commands))
	for i, produced := range s.producer.ProduceEach(ctx, records) {
		if produced.Err != nil {
			results[i].err = unavailable(produced.Err)
			s.replies.drop(awaited, i)
			continue
		}
		results[i].where = at(topic.ConversationCommands, produced.Offset, false)
	}
	replies, err := s.replies.wait(ctx, awaited)
	if err != nil {
		return nil, err
	}
	for i, reply := range replies {
		if results[i].err == nil && reply != nil {
			results[i].reply = reply
			results[i].err = refusal(reply)
		}
		s.metrics.transitions.WithLabelValues(outcomeOf(results[i])).Inc()
	}
	return results, nil
}

// commandRecord is a command as it goes into the log.
func (s *Service) commandRecord(c *conversation.Command) (*stream.Record, error) {
	value, err := c.Encode()
	if err != nil {
		return nil, err
	}
	return &stream.Record{
		Topic: s.topic(topic.ConversationCommands), Key: conversation.Key(c.Workspace, c.ConversationID), Value: value,
		Timestamp: c.ReceivedAt.Time, Headers: stream.EnvelopeHeaders(c.Envelope()),
	}, nil
}

// refusal turns what the processor refused into a problem, or nil.
func refusal(r *conversation.Reply) error {
	if r.Refusal == nil {
		return nil
	}
	types := map[conversation.RefusalKind]problem.Type{
		conversation.VersionConflict: problem.VersionConflict, conversation.TooLarge: problem.TooLarge,
	}
	t, ok := types[r.Refusal.Kind]
	if !ok {
		t = problem.TransitionNotAllowed
	}
	var state *string
	if r.State != conversation.StateNone {
		state = optional(string(r.State))
	}
	return problem.New(t, r.Refusal.Detail).WithExtra("version", r.Version).WithExtra("state", state)
}

// outcomeOf names what became of a command for metrics.
func outcomeOf(o outcome) string {
	switch {
	case o.reply == nil && o.err != nil:
		return "unavailable"
	case o.reply == nil:
		return "pending"
	case o.err != nil:
		return "refused"
	case o.reply.Changed:
		return "changed"
	default:
		return "unchanged"
	}
}
