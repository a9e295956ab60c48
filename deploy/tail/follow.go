package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/throughline/throughline/deploy/client"
)

// pace is how often the log is asked, and for how much. Tests make it fast and small.
type pace struct {
	// poll is the pause between two looks at what is new.
	poll time.Duration
	// sweep is the least pause between two looks back as far as an event may be late.
	sweep time.Duration
	// first is the number of rows asked for to see whether there is anything new, page that of what follows.
	first, page int
	// held bounds the rows that are kept until older ones are printed. Of more only the places are kept, and they are
	// read again.
	held int
}

// untilSweep is the pause after a look back. One that takes long is followed by twice as long without, so that a busy
// server spends a third of the time on them at most; not by more, because an event that came in behind waits for the
// next one.
func (p pace) untilSweep(took time.Duration) time.Duration { return max(p.sweep, 2*took) }

func standardPace() pace {
	return pace{poll: 500 * time.Millisecond, sweep: 5 * time.Second, first: 50, page: 500, held: 10_000}
}

// page is a page of the event log.
type page struct {
	rows []*row
	next string
	asOf time.Time
}

// follower knows what was printed.
type follower struct {
	api   *client.Client
	cfg   Config
	pace  pace
	out   io.Writer
	query url.Values

	// seen are the events that were printed, or were there at the start, by when they were received.
	seen map[identity]time.Time
	// swept is when the last look back began, by the server's clock.
	swept time.Time
}

// read reads up to limit rows at a cursor; the first ones are at the empty cursor.
func (f *follower) read(ctx context.Context, from time.Time, cursor string, limit int) (*page, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	maps.Copy(query, f.query)
	if !from.IsZero() {
		query.Set("from", from.UTC().Format(time.RFC3339Nano))
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var got struct {
		Data       []json.RawMessage `json:"data"`
		NextCursor *string           `json:"nextCursor"`
		AsOf       time.Time         `json:"asOf"`
	}
	if err := f.api.JSON(ctx, http.MethodGet, "v1/event-log?"+query.Encode(), nil, &got); err != nil {
		return nil, fmt.Errorf("read event log: %w", err)
	}
	p := &page{asOf: got.AsOf}
	if got.NextCursor != nil {
		p.next = *got.NextCursor
	}
	for _, raw := range got.Data {
		r, err := parseRow(raw)
		if err != nil {
			return nil, err
		}
		p.rows = append(p.rows, r)
	}
	return p, nil
}

// begin prints the last events that are there, and takes note of those that are no news.
func (f *follower) begin(ctx context.Context) error {
	last := make([]*row, 0, f.cfg.Last)
	printed := false
	var horizon time.Time
	for cursor := ""; ; {
		p, err := f.read(ctx, time.Time{}, cursor, f.pace.page)
		if err != nil {
			return err
		}
		if f.swept.IsZero() {
			f.swept = p.asOf
			horizon = p.asOf.Add(-f.cfg.Late)
		}
		past := false
		for _, r := range p.rows {
			past = r.ReceivedAt.Before(horizon)
			if len(last) < f.cfg.Last {
				last = append(last, r)
			} else if !past && !r.StoredAt.After(f.swept) {
				f.seen[r.identity()] = r.ReceivedAt
			}
		}
		done := p.next == ""
		if !printed && (done || len(last) == f.cfg.Last) {
			if err := f.print(last); err != nil {
				return err
			}
			printed = true
		}
		if done || (printed && (past || !f.cfg.Follow)) {
			return nil
		}
		cursor = p.next
	}
}

// news prints what has not been printed, oldest first. It reads down to the first page that has nothing new, or, to
// sweep, as far back as an event may be late.
//
// An event that is stored at S was received at S - Late or after. It is there for the first sweep that begins after S,
// and the sweep before began before S. So it suffices that a sweep goes back to the beginning of the one before, less
// Late.
func (f *follower) news(ctx context.Context, sweep bool) error {
	from := f.swept.Add(-f.cfg.Late)
	var held []*row     // newest first
	var places []string // of pages with more, which are older
	var began time.Time
	limit := f.pace.first
	if sweep {
		limit = f.pace.page
	}
	for cursor := ""; ; limit = f.pace.page {
		p, err := f.read(ctx, from, cursor, limit)
		if err != nil {
			return err
		}
		if began.IsZero() {
			began = p.asOf
		}
		fresh := f.unseen(p.rows)
		switch {
		case len(fresh) == 0:
		case len(places) == 0 && len(held)+len(fresh) <= f.pace.held:
			held = append(held, fresh...)
		default:
			places = append(places, cursor)
		}
		if p.next == "" || (!sweep && len(p.rows) > 0 && len(fresh) == 0) {
			break
		}
		cursor = p.next
	}
	for _, cursor := range slices.Backward(places) {
		// A row that came in meanwhile may push another off the end of this page; the next sweep finds that one.
		p, err := f.read(ctx, from, cursor, f.pace.page)
		if err != nil {
			return err
		}
		if err := f.print(f.unseen(p.rows)); err != nil {
			return err
		}
	}
	if err := f.print(f.unseen(held)); err != nil {
		return err
	}
	if sweep {
		f.swept = began
		f.forget(began.Add(-f.cfg.Late))
	}
	return nil
}

func (f *follower) unseen(rows []*row) []*row {
	var fresh []*row
	for _, r := range rows {
		if _, ok := f.seen[r.identity()]; !ok {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// print prints rows that are given newest first, and remembers them.
func (f *follower) print(rows []*row) error {
	if len(rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, r := range slices.Backward(rows) {
		if err := r.write(&b, f.cfg.JSON); err != nil {
			return err
		}
		f.seen[r.identity()] = r.ReceivedAt
	}
	if _, err := f.out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("print events: %w", err)
	}
	return nil
}

// forget lets go of events that no later look reaches back to.
func (f *follower) forget(before time.Time) {
	for id, at := range f.seen {
		if at.Before(before) {
			delete(f.seen, id)
		}
	}
}
