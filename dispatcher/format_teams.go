package dispatcher

import (
	"strings"
	"time"
)

// Limits of messages for Teams. A flow refuses what is larger than about 28 KB as it posts it, which was measured to be
// 21 KB of a body; all of these together stay below maxTeamsBytes with four bytes for each character.
const (
	teamsTitle = 200
	teamsText  = 400
	teamsFact  = 140
	teamsName  = 40
	teamsQuote = 1200
	teamsItems = 1500
	teamsAbout = 150
	// maxTeamsBytes is what no message is larger than.
	maxTeamsBytes = 20_000
)

// teamsMessage is what a flow of Teams takes at its URL ("When a Teams webhook request is received"): a message with one
// Adaptive Card.
type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	ContentURL  *string   `json:"contentUrl"`
	Content     teamsCard `json:"content"`
}

// teamsCard is an Adaptive Card of version 1.4, which every client of Teams shows.
type teamsCard struct {
	Schema   string      `json:"$schema"`
	Type     string      `json:"type"`
	Version  string      `json:"version"`
	Fallback string      `json:"fallbackText"`
	Width    teamsWidth  `json:"msteams"`
	Body     []teamsItem `json:"body"`
}

type teamsWidth struct {
	Width string `json:"width"`
}

// teamsItem is an element of a card.
type teamsItem struct {
	Type   string          `json:"type"`
	Text   string          `json:"text,omitempty"`
	Wrap   bool            `json:"wrap,omitempty"`
	Size   string          `json:"size,omitempty"`
	Weight string          `json:"weight,omitempty"`
	Subtle bool            `json:"isSubtle,omitempty"`
	Style  string          `json:"style,omitempty"`
	Bleed  bool            `json:"bleed,omitempty"`
	Facts  []teamsFactItem `json:"facts,omitempty"`
	Items  []teamsItem     `json:"items,omitempty"`
}

type teamsFactItem struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

// teamsOf writes a notice for Teams: a title in the colour of what happened, what it was, facts, what somebody wrote, and of
// what it tells.
func teamsOf(n *notice) *teamsMessage {
	title := teamsLine(n.icon+" "+n.title, teamsTitle)
	body := []teamsItem{{
		Type: "Container", Style: teamsStyle(n.tone), Bleed: true,
		Items: []teamsItem{{Type: "TextBlock", Text: title, Wrap: true, Size: "medium", Weight: "bolder"}},
	}}
	if n.text != "" {
		body = append(body, textBlock(teamsLine(n.text, teamsText)))
	}
	if len(n.items) > 0 {
		body = append(body, textBlock(teamsList(n.items)))
	}
	if len(n.facts) > 0 {
		facts := teamsItem{Type: "FactSet"}
		for _, f := range n.facts[:min(len(n.facts), maxFacts)] {
			facts.Facts = append(facts.Facts, teamsFactItem{teamsLine(f.name, teamsName), teamsLine(f.value, teamsFact)})
		}
		body = append(body, facts)
	}
	if n.quote != "" {
		// In a card a line ends where a paragraph does.
		quote := strings.ReplaceAll(escapeTo(strings.ReplaceAll(n.quote, "\n\n", "\n"), teamsQuote, teamsRune), "\n", "\n\n")
		body = append(body, teamsItem{Type: "Container", Style: "emphasis", Items: []teamsItem{textBlock(quote)}})
	}
	if foot := teamsFoot(n); foot != "" {
		body = append(body, teamsItem{Type: "TextBlock", Text: foot, Wrap: true, Size: "small", Subtle: true})
	}
	return &teamsMessage{Type: "message", Attachments: []teamsAttachment{{
		ContentType: "application/vnd.microsoft.card.adaptive",
		Content: teamsCard{
			Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
			Fallback: title, Width: teamsWidth{"Full"}, Body: body,
		},
	}}}
}

func textBlock(text string) teamsItem { return teamsItem{Type: "TextBlock", Text: text, Wrap: true} }

func teamsStyle(t tone) string {
	switch t {
	case toneGood:
		return "good"
	case toneWarning:
		return "warning"
	case toneAttention:
		return "attention"
	default:
		return "accent"
	}
}

// teamsLine escapes and cuts one line.
func teamsLine(s string, limit int) string { return escapeTo(line(s), limit, teamsRune) }

// teamsRune escapes a character of Adaptive Cards' Markdown, which is a part of CommonMark: a backslash before what would
// be one of its signs. What begins a tag, such as that of a mention, or a function of a card is broken up; a mention would
// need an entity of the message beside it as well, of which there is none.
func teamsRune(before, r rune, rest string) string {
	next := ""
	if len(rest) > len(string(r)) {
		next = rest[len(string(r)):]
	}
	atStart := before == 0 || before == '\n'
	switch {
	case strings.ContainsRune("\\*_[]`~", r), r == '&' && strings.Contains(next, ";"):
		return `\` + string(r)
	case atStart && strings.ContainsRune("#+->=", r):
		return `\` + string(r)
	case (r == '.' || r == ')') && before >= '0' && before <= '9':
		// A number and a dot begin a list. Within a number the sign stands before a digit, and is left as it is.
		if next == "" || next[0] < '0' || next[0] > '9' {
			return `\` + string(r)
		}
		return string(r)
	case r == '<', r == '{' && strings.HasPrefix(next, "{"), r == '@' && callsAll(rest):
		return string(r) + joiner
	default:
		return string(r)
	}
}

// teamsList writes lines with bullets, as many as there is room for.
func teamsList(items []string) string {
	var out strings.Builder
	for _, item := range items {
		next := "- " + teamsLine(item, teamsFact) + "\r"
		if utf16Length(out.String())+utf16Length(next) > teamsItems {
			break
		}
		out.WriteString(next)
	}
	return out.String()
}

// teamsFoot says when it was, in the reader's time, and of what it tells.
func teamsFoot(n *notice) string {
	var parts []string
	if !n.at.IsZero() {
		at := n.at.UTC().Format(time.RFC3339)
		parts = append(parts, "{{DATE("+at+", SHORT)}} {{TIME("+at+")}}")
	}
	if n.about != "" {
		parts = append(parts, teamsLine(n.about, teamsAbout))
	}
	return strings.Join(parts, " · ")
}
