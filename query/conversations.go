package query

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/web"
)

// conversationVar is the routes' variable.
const conversationVar = "conversationId"

// conversationQuery is a page of a workspace's conversations, the newest opened first.
type conversationQuery struct {
	workspace                       string
	states, teams, agents, channels []string
	from, to                        time.Time
	limit                           int
	// after is the last row of the page before: when it was opened, and its id.
	after *cursor
}

// statement reads one row more than the page has, which tells whether another page follows.
func (q conversationQuery) statement() statement {
	c := newClauses(q.workspace)
	c.in("state", "state", q.states)
	c.in("team", "team", q.teams)
	c.in("agent_id", "agent", q.agents)
	c.in("channel", "channel", q.channels)
	c.between("opened_at", q.from, q.to)
	if q.after != nil {
		c.and("(opened_at, conversation_id) < ("+instant("after_time")+", {after_id:String})",
			millis("after_time", q.after.time()), clickhouse.Named("after_id", q.after.Texts[0]))
	}
	return selectFrom("conversations", conversationColumns, table.Conversations+" FINAL", c,
		"ORDER BY "+descending.orderBy("opened_at", "conversation_id")+"\n"+limitTo(q.limit+1))
}

func (q conversationQuery) fingerprint() []byte {
	return fingerprint("conversations", []string{q.workspace}, q.states, q.teams, q.agents, q.channels, timeText(q.from), timeText(q.to))
}

const conversationColumns = "conversation_id, opened_at, last_transition_at, conversation"

// conversationRow is one row as it is read.
type conversationRow struct {
	id           string
	opened, last time.Time
	stored       string
}

func (r *conversationRow) fields() []any { return []any{&r.id, &r.opened, &r.last, &r.stored} }

// answer is the row as clients get it at a moment.
func (r *conversationRow) answer(now time.Time) ([]byte, error) {
	var c conversation.Conversation
	if err := json.Unmarshal([]byte(r.stored), &c); err != nil {
		return nil, fmt.Errorf("read conversation %s: %w", r.id, err)
	}
	return encode(c.Answer(now))
}

// conversations answers GET /v1/conversations.
func (s *Service) conversations(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	q, positions, err := readConversationQuery(r)
	if err != nil {
		return err
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), q.workspace, positions, conversationsRoute()); err != nil {
		return err
	}
	rows, err := collect(r.Context(), b, q.statement(), (*conversationRow).fields)
	if err != nil {
		return err
	}
	p := page{asOf: now}
	if len(rows) > q.limit {
		rows = rows[:q.limit]
		last := rows[q.limit-1]
		text := cursor{Millis: last.opened.UnixMilli(), Texts: []string{last.id}}.encode(q.fingerprint())
		p.next = &text
	}
	for i := range rows {
		row, err := rows[i].answer(now)
		if err != nil {
			return err
		}
		p.rows = append(p.rows, row)
	}
	return p.write(w)
}

func readConversationQuery(r *http.Request) (conversationQuery, []string, error) {
	q := conversationQuery{workspace: access.From(r.Context()).Workspace}
	p := web.Query(r)
	states := make([]string, 0, len(conversation.States()))
	for _, s := range conversation.States() {
		states = append(states, string(s))
	}
	q.states = p.Enums("state", states...)
	q.teams, q.agents, q.channels = p.Strings("team"), p.Strings("agent"), p.Strings("channel")
	q.from, q.to = p.Range()
	q.limit = p.Limit()
	text, positions := p.String("cursor"), p.Strings("position")
	if err := p.Err(); err != nil {
		return q, nil, err
	}
	if text != "" {
		var err error
		if q.after, err = decodeCursor(text, q.fingerprint(), 1); err != nil {
			return q, nil, err
		}
	}
	return q, positions, nil
}

// conversation answers GET /v1/conversations/{conversationId}.
func (s *Service) conversation(w http.ResponseWriter, r *http.Request) error {
	now := time.Now()
	row, err := s.oneConversation(r, web.Query(r))
	if err != nil {
		return err
	}
	body, err := row.answer(now)
	if err != nil {
		return err
	}
	writeRaw(w, body)
	return nil
}

// oneConversation reads the conversation that a path names. The parameters are all known but position.
func (s *Service) oneConversation(r *http.Request, p *web.Params) (*conversationRow, error) {
	ws := access.From(r.Context()).Workspace
	id, err := web.PathVar(r, conversationVar, object.ValidateID)
	if err != nil {
		return nil, err
	}
	positions := p.Strings("position")
	if err := p.Err(); err != nil {
		return nil, err
	}
	b, err := s.backend()
	if err != nil {
		return nil, err
	}
	if err := b.await(r.Context(), ws, positions, conversationsRoute()); err != nil {
		return nil, err
	}
	c := newClauses(ws)
	c.equal("conversation_id", "id", id)
	rows, err := collect(r.Context(), b,
		selectFrom("conversation", conversationColumns, table.Conversations+" FINAL", c, limitTo(1)), (*conversationRow).fields)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, problem.New(problem.NotFound, "There is no such conversation.")
	}
	return &rows[0], nil
}

// transitions answers GET /v1/conversations/{conversationId}/transitions, in the order of their versions.
func (s *Service) transitions(w http.ResponseWriter, r *http.Request) error {
	at := time.Now()
	ws := access.From(r.Context()).Workspace
	p := web.Query(r)
	limit, text := p.Limit(), p.String("cursor")
	row, err := s.oneConversation(r, p)
	if err != nil {
		return err
	}
	list := fingerprint("transitions", []string{ws}, []string{row.id})
	var after *cursor
	if text != "" {
		if after, err = decodeCursor(text, list, 0); err != nil {
			return err
		}
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if err := b.await(r.Context(), ws, web.Query(r).Strings("position"), transitionsRoute()); err != nil {
		return err
	}
	rows, err := collect(r.Context(), b, transitionsOf(ws, row, after, limit), (*transitionRow).fields)
	if err != nil {
		return err
	}
	out := page{asOf: at}
	if len(rows) > limit {
		rows = rows[:limit]
		next := cursor{Offset: rows[limit-1].version}.encode(list)
		out.next = &next
	}
	for i := range rows {
		out.rows = append(out.rows, verbatim(rows[i].text))
	}
	return out.write(w)
}

// transitionRow is one row as it is read.
type transitionRow struct {
	version int64
	text    string
}

func (r *transitionRow) fields() []any { return []any{&r.version, &r.text} }

// transitionsOf reads one row more than the page has. The table is in the order of time, and the conversation's times say
// where to look.
func transitionsOf(workspace string, row *conversationRow, after *cursor, limit int) statement {
	c := newClauses(workspace)
	c.and("occurred_at >= "+instant("opened"), millis("opened", row.opened))
	c.and("occurred_at <= "+instant("last"), millis("last", row.last))
	c.equal("conversation_id", "id", row.id)
	if after != nil {
		c.and("version > {after:Int64}", clickhouse.Named("after", after.Offset))
	}
	return selectFrom("transitions", "version, transition", table.Transitions, c, "ORDER BY version\n"+limitTo(limit+1))
}
