package dispatcher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/webhook"
)

// maxDigestLines is how many events of a digest are shown one by one.
const maxDigestLines = 15

// digestNotice tells of several events in one message: how many of which kind, the longest wait, and the first of them.
func digestNotice(body []byte) *notice {
	var b struct {
		Data digestData `json:"data"`
	}
	n := &notice{icon: "🗂️", title: "Several events"}
	if err := json.Unmarshal(body, &b); err != nil {
		return n
	}
	counts := map[string]int{}
	var order []string
	waits := map[string]time.Duration{}
	for _, raw := range b.Data.Events {
		var t toldBody
		if json.Unmarshal(raw, &t) != nil || t.Type == digestType {
			continue
		}
		if counts[t.Type]++; counts[t.Type] == 1 {
			order = append(order, t.Type)
		}
		waited(waits, &t, b.Data.To.Time)
		one := noticeOf(raw)
		n.tone = max(n.tone, one.tone)
		if len(n.items) < maxDigestLines {
			n.items = append(n.items, digestLine(one))
		}
	}
	if more := len(b.Data.Events) - len(n.items); more > 0 && len(n.items) > 0 {
		n.items = append(n.items, fmt.Sprintf("and %d more", more))
	}
	slices.SortStableFunc(order, func(a, b string) int { return counts[b] - counts[a] })
	var said []string
	for _, name := range order {
		said = append(said, fmt.Sprintf("%s %s", digestCount(counts[name], name), happened(name)))
	}
	if len(said) > 0 {
		n.title = strings.Join(said, ", ") + lately(b.Data.To.Sub(b.Data.From.Time))
	}
	longest := time.Duration(0)
	for _, w := range waits {
		longest = max(longest, w)
	}
	if longest >= time.Second {
		n.title += ", longest wait " + clock(longest)
	}
	return n
}

// waited notes how long the conversation of an event has waited as of a moment: to the end of its stay in the queue, or up
// to the moment where it is still there. The last that is told of a conversation counts.
func waited(waits map[string]time.Duration, t *toldBody, at time.Time) {
	d := &t.Data
	switch {
	case d.Conversation != nil && d.Transition != nil:
		id := d.Conversation.ConversationID
		if w := seconds(d.Transition.WaitedSeconds); w > 0 {
			waits[id] = w
		} else if c := d.Conversation; c.State == conversation.StateQueued && c.QueuedAt != nil {
			waits[id] = at.Sub(c.QueuedAt.Time)
		}
	case d.Queue != nil:
		waits["queue "+d.Queue.Team] = seconds(d.Queue.LongestWaitSeconds)
	}
}

// digestLine is one event of a digest on one line.
func digestLine(n *notice) string {
	parts := []string{n.icon + " " + n.title}
	for _, f := range n.facts {
		if f.name == "Customer" {
			parts = append(parts, f.value)
		}
	}
	if n.about != "" {
		parts = append(parts, n.about)
	}
	return strings.Join(parts, " · ")
}

// digestCount writes how many things a type tells of.
func digestCount(n int, eventType string) string {
	switch {
	case strings.HasPrefix(eventType, "conversation."):
		return count(n, "chat")
	case strings.HasPrefix(eventType, "queue."):
		return count(n, "queue")
	case eventType == webhook.EndpointDisabled:
		return count(n, "endpoint")
	case eventType == webhook.DeliveryExhausted:
		if n == 1 {
			return "1 delivery"
		}
		return fmt.Sprintf("%d deliveries", n)
	default:
		return count(n, "event")
	}
}

// happened is what a type says has happened.
func happened(eventType string) string {
	switch eventType {
	case webhook.ConversationResponded:
		return "answered"
	case webhook.ConversationBroadcasted:
		return "offered"
	case webhook.ConversationSurveyed:
		return "rated"
	case webhook.DeliveryExhausted:
		return "failed for good"
	default:
		_, what, _ := strings.Cut(eventType, ".")
		return line(what)
	}
}

// lately says in which time: in the last minute, in the last 5 minutes, within 3 s.
func lately(d time.Duration) string {
	switch {
	case d <= time.Second:
		return ""
	case d == time.Minute:
		return " in the last minute"
	case d == time.Hour:
		return " in the last hour"
	case d%time.Hour == 0:
		return " in the last " + count(int(d/time.Hour), "hour")
	case d%time.Minute == 0:
		return " in the last " + count(int(d/time.Minute), "minute")
	default:
		return " within " + span(d)
	}
}

// clock writes a length of time as clocks do: 3:20, 1:02:03.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
