package ingest

import (
	"net/http"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
)

// postTransitions appends a batch of commands, item by item, and answers what became of each. Those of one conversation
// are decided in their order, each on what those before it have led to.
func (s *Service) postTransitions(w http.ResponseWriter, r *http.Request) error {
	b, err := s.readBatch(w, r, "transitions")
	if err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	commands := make([]*conversation.Command, 0, len(b.items))
	of := make([]int, 0, len(b.items))
	now := s.now()
	for i, item := range b.items {
		if p := oversized(item, conversation.MaxCommandBytes); p != nil {
			b.results[i].refuse(p)
			continue
		}
		c, refused := decodeTransition(item, "", nil, now)
		if refused != nil {
			b.results[i].refuse(refused)
			continue
		}
		c.Workspace = workspace
		commands, of = append(commands, c), append(of, i)
	}
	s.metrics.transitions.WithLabelValues("invalid").Add(float64(len(b.items) - len(commands)))
	if len(commands) == 0 {
		return b.answer(w, r, workspace)
	}
	results, err := s.command(r.Context(), commands)
	if err != nil {
		return err
	}
	for n, result := range results {
		item, c := &b.results[of[n]], commands[n]
		b.where.Merge(result.where)
		item.ConversationID, item.ID = c.ConversationID, c.ID
		switch {
		case result.err != nil:
			item.refuse(problem.From(result.err))
		case result.reply == nil:
			item.Status = http.StatusAccepted
		default:
			item.Status = http.StatusOK
			reply := result.reply
			item.Version, item.State, item.Changed = &reply.Version, reply.State, &reply.Changed
			item.Missing = append([]object.Lookup{}, reply.Missing...)
		}
	}
	return b.answer(w, r, workspace)
}
