package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// settleWithin is how long the last acknowledged record may take to be in its table.
const settleWithin = 5 * time.Minute

// mostDiffers is how many differences of a kind are printed.
const mostDiffers = 20

// differences are what is not as it should be.
type differences struct {
	lines []string
	count map[string]int
}

func (d *differences) add(kind, format string, args ...any) {
	if d.count == nil {
		d.count = map[string]int{}
	}
	if d.count[kind]++; d.count[kind] <= mostDiffers {
		d.lines = append(d.lines, kind+": "+fmt.Sprintf(format, args...))
	}
}

func (d *differences) String() string {
	var b strings.Builder
	for _, line := range d.lines {
		b.WriteString(line + "\n")
	}
	for _, kind := range slices.Sorted(maps.Keys(d.count)) {
		fmt.Fprintf(&b, "%d × %s\n", d.count[kind], kind)
	}
	return b.String()
}

// settle waits until there are as many rows as were acknowledged. Whether they are the right ones is for check.
func (w *world) settle(ctx context.Context, l *ledger) error {
	want := map[string]uint64{}
	l.mu.Lock()
	for _, e := range l.events {
		if e.acknowledged {
			want["SELECT uniqExact(event_id) FROM event_log WHERE status = 'LINKED'"]++
			want["SELECT uniqExact(object_type, object_id, event_id) FROM timeline WHERE kind = 'event'"] += 3
		}
	}
	for _, labels := range l.transitions {
		want["SELECT uniqExact(conversation_id, version) FROM conversation_transitions"] += uint64(len(labels))
	}
	named := make([]string, 0, len(l.objects))
	for id, name := range l.objects {
		named = append(named, fmt.Sprintf("('%s', '%s')", id, name))
	}
	if len(named) > 0 {
		want["SELECT count() FROM objects FINAL WHERE (object_id, name) IN ("+strings.Join(named, ", ")+")"] = uint64(len(named))
	}
	if w.receiver != nil {
		want["SELECT uniqExact("+toldOf+") FROM webhook_attempts WHERE status = 'SUCCEEDED'"] = uint64(len(l.told()))
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := "nobody knows of how many"
	for {
		var behind []string
		for query, n := range want {
			var have uint64
			if err := w.db.QueryRow(ctx, query).Scan(&have); err != nil {
				behind = append(behind, fmt.Sprintf("%s: %v", query, err))
			} else if have < n {
				behind = append(behind, fmt.Sprintf("%s gives %d of %d", query, have, n))
			}
		}
		if len(behind) == 0 {
			return nil
		}
		if ctx.Err() == nil {
			last = strings.Join(behind, "; ")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("rows do not come within %s: %s", settleWithin, last)
		}
	}
}

// check compares what is in the tables with what was sent and acknowledged.
func (w *world) check(t *testing.T, l *ledger) *differences {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &differences{}
	w.checkAnswers(t, d)
	w.checkEventLog(t, l, d)
	w.checkTimeline(t, l, d)
	w.checkTransitions(t, l, d)
	w.checkObjects(t, l, d)
	w.checkWebhooks(t, l, d)
	return d
}

// checkEventLog expects every acknowledged event once as LINKED, none that was not sent, no status that nobody caused, and the
// events of an object in the order in which they were acknowledged.
func (w *world) checkEventLog(t *testing.T, l *ledger, d *differences) {
	t.Helper()
	type row struct {
		ID        string `ch:"event_id"`
		Status    string `ch:"status"`
		Object    string `ch:"object_id"`
		Partition int32  `ch:"_partition"`
		Offset    int64  `ch:"_offset"`
	}
	var rows []row
	w.rows(t, &rows, "SELECT event_id, status, object_id, _partition, _offset FROM event_log ORDER BY _topic, _partition, _offset")
	linked := map[string]int{}
	last := map[string]row{}
	for _, r := range rows {
		e, known := l.events[r.ID]
		switch {
		case !known:
			d.add("never sent", "%+v is in the event log", r)
		case r.Status == "DUPLICATE":
		case r.Status != "LINKED":
			d.add("not linked", "%+v", r)
		default:
			linked[r.ID]++
			before, seen := last[r.Object]
			if seen && (before.Partition != r.Partition || l.events[before.ID].number >= e.number) {
				d.add("out of order", "%+v comes before %+v", before, r)
			}
			last[r.Object] = r
		}
	}
	for id, e := range l.events {
		if n := linked[id]; n > 1 || n == 0 && e.acknowledged {
			d.add("event log", "%s, acknowledged %t, is %d times LINKED", id, e.acknowledged, n)
		}
	}
}

// checkTimeline expects every acknowledged event once on the timelines of its customer, the customer's account and its user.
func (w *world) checkTimeline(t *testing.T, l *ledger, d *differences) {
	t.Helper()
	var rows []struct {
		Type string `ch:"object_type"`
		ID   string `ch:"object_id"`
		Of   string `ch:"event_id"`
		N    uint64 `ch:"n"`
	}
	w.rows(t, &rows, "SELECT object_type, object_id, event_id, count() AS n FROM timeline WHERE kind = 'event' GROUP BY ALL")
	have := map[string]uint64{}
	for _, r := range rows {
		have[r.Type+" "+r.ID+" "+r.Of] = r.N
	}
	for id, e := range l.events {
		account := "a" + strings.TrimPrefix(strings.Split(e.object, "-")[0], "c")
		for _, on := range []string{"CUSTOMER " + e.object, "ACCOUNT " + account, "USER " + e.user} {
			if n := have[on+" "+id]; n > 1 || n == 0 && e.acknowledged {
				d.add("timeline", "%s, acknowledged %t, is %d times on the timeline of %s", id, e.acknowledged, n, on)
			}
			delete(have, on+" "+id)
		}
	}
	for row := range have {
		d.add("never sent", "%s is a row of the timeline", row)
	}
}

// checkTransitions expects the transitions of every conversation once, with versions without a gap and the labels in order.
func (w *world) checkTransitions(t *testing.T, l *ledger, d *differences) {
	t.Helper()
	var rows []struct {
		ID      string `ch:"conversation_id"`
		Version int64  `ch:"version"`
		Text    string `ch:"transition"`
		From    string `ch:"source"`
	}
	w.rows(t, &rows, "SELECT conversation_id, version, transition, concat(toString(_partition), '/', toString(_offset)) AS source "+
		"FROM conversation_transitions ORDER BY conversation_id, version, _offset")
	next := map[string]int64{}
	for _, r := range rows {
		next[r.ID]++
		labels := l.transitions[r.ID]
		switch {
		case r.Version != next[r.ID]:
			d.add("versions", "version %d of %s (%s) stands where %d should", r.Version, r.ID, r.From, next[r.ID])
		case int(r.Version) > len(labels)+1:
			d.add("never sent", "version %d of %s", r.Version, r.ID)
		case int(r.Version) <= len(labels) && labels[r.Version-1] != "" && !strings.Contains(r.Text, `"`+labels[r.Version-1]+`"`):
			d.add("transition", "version %d of %s has not the label %s: %s", r.Version, r.ID, labels[r.Version-1], r.Text)
		}
	}
	for id, labels := range l.transitions {
		if next[id] < int64(len(labels)) {
			d.add("transitions", "%s has %d of %d that were acknowledged", id, next[id], len(labels))
		}
	}
}

// checkObjects expects the name that was acknowledged last of every object.
func (w *world) checkObjects(t *testing.T, l *ledger, d *differences) {
	t.Helper()
	var rows []struct {
		ID   string `ch:"object_id"`
		Name string `ch:"name"`
	}
	w.rows(t, &rows, "SELECT object_id, name FROM objects FINAL WHERE startsWith(object_id, 'w')")
	have := map[string]string{}
	for _, r := range rows {
		have[r.ID] = r.Name
	}
	for id, name := range l.objects {
		if have[id] != name {
			d.add("objects", "%s is called %q, want %q", id, have[id], name)
		}
	}
}

// rows reads what a query gives.
func (w *world) rows(t *testing.T, into any, query string) {
	t.Helper()
	if err := w.db.Select(t.Context(), into, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
