package projections

import (
	"fmt"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/conversation"
)

// transitionWords says what happened in words, as it stands on timelines.
func transitionWords(t *conversation.Transition, p *conversation.Personal) (name, description string) {
	switch t.Type {
	case conversation.Opened:
		return "Conversation opened", about("", t.Team, t.Channel)
	case conversation.Queued:
		return "Conversation queued", about("Waiting", t.After.Team, t.After.Channel)
	case conversation.Broadcasted:
		return "Conversation broadcasted", sentence("To " + count(len(t.Agents), "agent"))
	case conversation.Assigned:
		return "Conversation assigned", sentence("To "+who(t.Agent), waited(t))
	case conversation.Responded:
		if t.First != nil && !*t.First {
			return "Conversation taken up", sentence("By "+who(t.Agent), waited(t))
		}
		return "Conversation answered", sentence("By "+who(t.Agent), waited(t))
	case conversation.Transferred:
		if t.Agent != nil {
			return "Conversation transferred", sentence("To "+who(t.Agent), waited(t))
		}
		return "Conversation transferred", about("To the queue", t.After.Team, "")
	case conversation.Labeled:
		return "Conversation labeled", strings.Join(t.Labels, ", ")
	case conversation.Surveyed:
		return "Conversation rated", rated(t.Rating, p.Comment)
	case conversation.Closed:
		return closedWords(t)
	default:
		return "Conversation " + string(t.Type), ""
	}
}

func closedWords(t *conversation.Transition) (name, description string) {
	if t.Stay != nil {
		return "Conversation abandoned in the queue", sentence(capital(waited(t)), t.Reason)
	}
	var handled string
	if c := &t.After; !c.FirstRespondedAt.IsZero() {
		handled = span(c.ClosedAt.Sub(c.FirstRespondedAt.Time)) + " after the first response"
	}
	return "Conversation closed", sentence(capital(handled), t.Reason)
}

// sentence joins what is there.
func sentence(parts ...string) string {
	said := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ", ")
}

func about(what, team, channel string) string {
	if team != "" {
		team = "team " + team
	}
	if channel != "" {
		channel = "by " + channel
	}
	return capital(sentence(what, team, channel))
}

func who(p *conversation.Party) string {
	switch {
	case p == nil:
		return "somebody"
	case p.ID == "":
		return "somebody unknown"
	default:
		return p.ID
	}
}

// waited says how long the stay was that a transition has ended.
func waited(t *conversation.Transition) string {
	if t.Stay == nil {
		return ""
	}
	return "after " + span(t.OccurredAt.Sub(t.Stay.Began.Time)) + " in the queue"
}

func rated(rating int, comment string) string {
	if rating == 0 {
		return comment
	}
	stars := fmt.Sprintf("%d of %d", rating, conversation.MaxRating)
	if comment == "" {
		return stars
	}
	return stars + ": " + comment
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// capital begins with a capital letter; what is said here begins in English.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// span writes a length of time in its two greatest units: 34 s, 3 min 13 s, 2 h 5 min.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
	}
}
