package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/throughline/throughline/query/wallboard"
	"github.com/throughline/throughline/schema/access"
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

const (
	// streamHeartbeat is below the 30 s and more after which proxies cut a silent connection.
	streamHeartbeat = 15 * time.Second
	// streamRecheck is how often a stream's key is looked at again: one that is deleted ends within 5 s.
	streamRecheck = 4 * time.Second
	// streamWrite is how long a client may take to accept what is sent. What comes meanwhile is not kept for it: it gets
	// the newest board next.
	streamWrite = 10 * time.Second
)

// grouping reads what a wallboard is to be grouped by.
func grouping(params *web.Params) wallboard.GroupBy {
	by := wallboard.GroupBy(params.String("groupBy"))
	if by != wallboard.None && !slices.Contains(wallboard.Groupings(), by) {
		params.Fault("groupBy", "must be one of team, channel, account")
	}
	return by
}

// wallboard answers with the board now, or as soon as it shows what was asked for.
func (s *Service) wallboard(w http.ResponseWriter, r *http.Request) error {
	params := web.Query(r)
	by, positions := grouping(params), params.Strings("position")
	if err := params.Err(); err != nil {
		return err
	}
	workspace := access.From(r.Context()).Workspace
	if err := s.awaitBoard(r.Context(), workspace, positions); err != nil {
		return err
	}
	shot, err := s.screens.look(workspace, by)
	if err != nil {
		return err
	}
	writeRaw(w, shot.body)
	return nil
}

// wallboardStream sends the board whenever it changes, at most once a second, as server-sent events.
func (s *Service) wallboardStream(w http.ResponseWriter, r *http.Request) error {
	params := web.Query(r)
	by := grouping(params)
	if err := params.Err(); err != nil {
		return err
	}
	screen, leave, err := s.screens.join(access.From(r.Context()).Workspace, by)
	if err != nil {
		return err
	}
	defer leave()
	out := &events{w: w, control: http.NewResponseController(w)}
	// The server's limit on reading a request would otherwise end the stream a minute on.
	if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("lift the deadline of a stream: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would gather the events
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	return s.follow(r, screen, out)
}

// follow sends until somebody ends the stream; that is no error.
func (s *Service) follow(r *http.Request, screen *screen, out *events) error {
	heartbeat, recheck := time.NewTicker(streamHeartbeat), time.NewTicker(streamRecheck)
	defer heartbeat.Stop()
	defer recheck.Stop()
	// Who comes back with the id of the board as it still is does not need it again.
	seen := r.Header.Get("Last-Event-ID")
	for {
		shot, changed := screen.now()
		if shot != nil && shot.id != seen {
			seen = shot.id
			if out.event(shot) != nil {
				return nil // the client has gone, or is too slow
			}
			heartbeat.Reset(streamHeartbeat)
		}
		select {
		case <-changed:
		case <-heartbeat.C:
			if out.comment() != nil {
				return nil
			}
		case <-recheck.C:
			if s.permitted(r) != nil {
				return nil // the answer has begun, so it cannot say why
			}
		case <-run.Draining(r.Context()):
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// awaitBoard returns once the board shows the writes that the positions cover. Transitions alone are on it.
func (s *Service) awaitBoard(ctx context.Context, workspace string, positions []string) error {
	if len(positions) == 0 {
		return nil
	}
	w := s.waits.Load()
	if w == nil {
		// What cannot become right by waiting is said at once.
		if _, err := web.Positions(positions, workspace); err != nil {
			return err
		}
		return problem.Busy("The service is starting, or stopping.", retryAfter)
	}
	return w.awaitBy(ctx, workspace, positions, "wallboard", func(ctx context.Context, covered position.Position) error {
		decided := make(map[int32]bool)
		for _, e := range covered.Entries() {
			if e.Topic != topic.ConversationCommands {
				continue
			}
			decided[e.Partition] = true
			if err := w.committed(ctx, conversationGroup, e.Topic, e.Partition, e.Offset+1); err != nil {
				return err
			}
		}
		if len(decided) == 0 {
			return nil
		}
		ends, err := w.watch.EndOffsets(ctx, topic.Conversations)
		if err != nil {
			return err
		}
		maps.DeleteFunc(ends, func(partition int32, _ int64) bool { return !decided[partition] })
		return s.feed.WaitRead(ctx, ends)
	})
}

// board is a workspace's wallboard now.
func (s *Service) board(workspace string, by wallboard.GroupBy) (*wallboard.View, error) {
	zone, err := s.deps.TimeZone(workspace)
	if err != nil {
		return nil, err
	}
	return s.feed.View(workspace, zone, by)
}

// wallboardScopes open the wallboard. The second is for a screen on a wall, whose key anybody may read off it.
func wallboardScopes() []workspace.Scope {
	return []workspace.Scope{workspace.Read, workspace.WallboardRead}
}

// permitted says why a request would not be let through any more.
func (s *Service) permitted(r *http.Request) error {
	check := s.deps.Require(wallboardScopes(), func(http.ResponseWriter, *http.Request) error { return nil })
	return check(nil, r)
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e *events) event(s *shot) error {
	return e.send("id: %s\nevent: wallboard\ndata: %s\n\n", s.id, s.body)
}

func (e *events) comment() error { return e.send(":\n\n") }

func (e *events) send(format string, args ...any) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil {
		return err
	}
	return e.control.Flush()
}
