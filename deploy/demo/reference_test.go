package demo_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// figures is a row of a report, as the reference computes it and as clients read it.
type figures struct {
	Start                   event.Time  `json:"start"`
	End                     event.Time  `json:"end"`
	Group                   *string     `json:"group"`
	Conversations           int         `json:"conversations"`
	IdentifiedCustomers     int         `json:"identifiedCustomers"`
	Opened                  int         `json:"opened"`
	Queued                  int         `json:"queued"`
	Responded               int         `json:"responded"`
	Closed                  int         `json:"closed"`
	AbandonedInQueue        int         `json:"abandonedInQueue"`
	MaxQueueSize            int         `json:"maxQueueSize"`
	MaxQueueAt              *event.Time `json:"maxQueueAt"`
	QueueSeconds            float64     `json:"queueSeconds"`
	WaitAvgSeconds          *float64    `json:"waitAvgSeconds"`
	WaitP50Seconds          *float64    `json:"waitP50Seconds"`
	WaitP90Seconds          *float64    `json:"waitP90Seconds"`
	WaitMaxSeconds          *float64    `json:"waitMaxSeconds"`
	HandleAvgSeconds        *float64    `json:"handleAvgSeconds"`
	Agents                  int         `json:"agents"`
	FirstResponseAvgSeconds *float64    `json:"firstResponseAvgSeconds"`
	RatingAvg               *float64    `json:"ratingAvg"`
	Transferred             int         `json:"transferred"`
}

// told is one thing that a report counts: a transition, a stay in the queue, or a handling, with its group.
type told struct {
	group string
	at    time.Time
	// until is the end of a stay or a handling; zero while it lasts.
	until     time.Time
	abandoned bool
	t         *conversation.Transition
}

// reference is the slow way to a report: everything that happened, and loops over all of it for each row.
type reference struct {
	transitions, stays, handlings []told
}

// look walks through each conversation and notes what happened, in the groups of a grouping.
func look(all [][]*conversation.Transition, by string) *reference {
	ref := &reference{}
	for _, ts := range all {
		var before conversation.Conversation
		var stay *told
		for _, t := range ts {
			after := &t.After
			group := map[string]string{"team": after.Team, "channel": after.Channel, "agent": agentOf(after.Agent)}[by]
			ref.transitions = append(ref.transitions, told{group: group, at: t.OccurredAt.Time, t: t})
			// A stay ends where the state does. For teams it also ends where another team gets the conversation.
			moved := by == "team" && after.Team != before.Team
			if stay != nil && (after.State != conversation.StateQueued || moved) {
				stay.until, stay.abandoned = t.OccurredAt.Time, t.Type == conversation.Closed
				if by == "agent" {
					stay.group = agentOf(t.Agent) // whoever took it out of the queue
				}
				ref.stays, stay = append(ref.stays, *stay), nil
			}
			if stay == nil && after.State == conversation.StateQueued {
				stay = &told{group: group, at: t.OccurredAt.Time}
				if by == "agent" {
					stay.group = ""
				}
			}
			if t.Type == conversation.Closed && !before.FirstRespondedAt.IsZero() {
				ref.handlings = append(ref.handlings, told{group: group, at: before.FirstRespondedAt.Time, until: t.OccurredAt.Time})
			}
			before = *after
		}
		if stay != nil {
			ref.stays = append(ref.stays, *stay)
		}
	}
	return ref
}

func agentOf(p *conversation.Party) string {
	if p == nil {
		return ""
	}
	return p.ID
}

// rows are those of a report over a range.
func (r *reference) rows(from, to time.Time, interval, by string, zone *time.Location) []figures {
	cuts := append(cutsOf(from, to, interval, zone), to)
	var rows []figures
	groups := map[string]bool{}
	byCut := make([]map[string]figures, len(cuts)-1)
	for _, list := range [][]told{r.transitions, r.stays, r.handlings} {
		for _, x := range list {
			groups[x.group] = true
		}
	}
	shown := map[string]bool{"": by == ""}
	for i := range byCut {
		byCut[i] = map[string]figures{}
		for group := range groups {
			row, some := r.row(cuts[i], cuts[i+1], group)
			byCut[i][group] = row
			shown[group] = shown[group] || some
		}
	}
	for i := range byCut {
		for _, group := range slices.Sorted(maps.Keys(shown)) {
			if !shown[group] {
				continue
			}
			row := byCut[i][group]
			row.Start, row.End = event.TimeOf(cuts[i]), event.TimeOf(cuts[i+1])
			if group != "" {
				row.Group = &group
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// row computes the figures of a group in an interval, and says whether there was anything.
func (r *reference) row(start, end time.Time, group string) (f figures, some bool) {
	in := func(x told) bool { return x.group == group && !x.at.Before(start) && x.at.Before(end) }
	customers, agents := map[string]bool{}, map[string]bool{}
	var responses, ratings []float64
	for _, x := range r.transitions {
		if !in(x) {
			continue
		}
		some = true
		switch t := x.t; t.Type {
		case conversation.Opened:
			f.Opened++
			if t.After.Customer != nil {
				customers[t.After.Customer.ID] = true
			}
		case conversation.Queued:
			f.Queued++
		case conversation.Responded:
			if *t.First {
				f.Responded++
				responses = append(responses, t.OccurredAt.Sub(t.After.OpenedAt.Time).Seconds())
			}
			if t.Agent.Type == object.User {
				agents[t.Agent.ID] = true
			}
		case conversation.Closed:
			f.Closed++
		case conversation.Transferred:
			f.Transferred++
		case conversation.Surveyed:
			if t.Rating > 0 {
				ratings = append(ratings, float64(t.Rating))
			}
		default:
		}
	}
	f.Conversations, f.IdentifiedCustomers, f.Agents = f.Opened, len(customers), len(agents)
	f.FirstResponseAvgSeconds, f.RatingAvg = mean(responses), mean(ratings)
	var waits, handlings []float64
	for _, x := range r.stays {
		if in(x) && !x.until.IsZero() {
			waits = append(waits, x.until.Sub(x.at).Seconds())
			if x.abandoned {
				f.AbandonedInQueue++
			}
		}
	}
	for _, x := range r.handlings {
		if in(x) {
			handlings = append(handlings, x.until.Sub(x.at).Seconds())
		}
	}
	for _, w := range waits {
		f.QueueSeconds += w
	}
	f.WaitAvgSeconds, f.HandleAvgSeconds = mean(waits), mean(handlings)
	if n := len(waits); n > 0 {
		slices.Sort(waits)
		// The nearest rank of p is the least number that is p of all or more.
		f.WaitP50Seconds, f.WaitP90Seconds, f.WaitMaxSeconds = &waits[(n+1)/2-1], &waits[(9*n+9)/10-1], &waits[n-1]
	}
	r.size(&f, start, end, group)
	return f, some || len(waits) > 0 || len(handlings) > 0 || f.MaxQueueSize > 0
}

// size finds how long the queue was at its longest: when the interval began, or when somebody came.
func (r *reference) size(f *figures, start, end time.Time, group string) {
	moments := []time.Time{start}
	for _, x := range r.stays {
		if x.group == group && x.at.After(start) && x.at.Before(end) {
			moments = append(moments, x.at)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for _, m := range moments {
		size := 0
		for _, x := range r.stays {
			if x.group == group && !x.at.After(m) && (x.until.IsZero() || x.until.After(m)) {
				size++
			}
		}
		if size > f.MaxQueueSize {
			at := event.TimeOf(m)
			f.MaxQueueSize, f.MaxQueueAt = size, &at
		}
	}
}

func mean(all []float64) *float64 {
	if len(all) == 0 {
		return nil
	}
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	sum /= float64(len(all))
	return &sum
}

// cutsOf finds the beginnings of intervals by looking at each minute: does the calendar say something else than a moment
// before?
func cutsOf(from, to time.Time, interval string, zone *time.Location) []time.Time {
	cuts := []time.Time{from}
	if interval == "" {
		return cuts
	}
	// Intervals of a clock are counted from the first instant of their day, which is before the range.
	minute := from.Add(-49 * time.Hour).Truncate(time.Minute)
	var midnight time.Time
	before, date := "", ""
	for ; minute.Before(to); minute = minute.Add(time.Minute) {
		local := minute.In(zone)
		if d := local.Format(time.DateOnly); d != date {
			date, midnight = d, minute
		}
		says := says(local, midnight, interval)
		if says != before && minute.After(from) {
			cuts = append(cuts, minute)
		}
		before = says
	}
	return cuts
}

// says names the interval that a minute is in.
func says(local, midnight time.Time, interval string) string {
	lengths := map[string]time.Duration{"5m": 5 * time.Minute, "15m": 15 * time.Minute, "1h": time.Hour}
	date := local.Format(time.DateOnly)
	switch interval {
	case "1d":
		return date
	case "1w":
		y, w := local.ISOWeek()
		return fmt.Sprint(y, w)
	case "1mo":
		return local.Format("2006-01")
	default:
		return fmt.Sprint(date, local.Sub(midnight)/lengths[interval])
	}
}

// byTime orders transitions as they may have come.
func byTime(a, b *conversation.Transition) int {
	return cmp.Or(a.OccurredAt.Compare(b.OccurredAt.Time), cmp.Compare(a.ConversationID, b.ConversationID), cmp.Compare(a.Version, b.Version))
}
