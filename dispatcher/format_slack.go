package dispatcher

import (
	"fmt"
	"strings"
)

// Limits of what Slack takes, and those that messages keep to: a message of which nobody reads the end says less than a
// short one, and one of more than about 13,000 characters in all is refused.
const (
	slackHeader   = 150
	slackText     = 3000
	slackFields   = 10
	slackField    = 300
	slackFallback = 500
	slackQuote    = 1500
	slackItems    = 2900
)

// slackMessage is what an incoming webhook of Slack takes.
type slackMessage struct {
	// Text is what notifications show, and clients that cannot show blocks.
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
	// A link in somebody's words is not looked up, nor shown as large as a message.
	UnfurlLinks bool `json:"unfurl_links"`
	UnfurlMedia bool `json:"unfurl_media"`
}

type slackBlock struct {
	Type     string            `json:"type"`
	Text     *slackTextObject  `json:"text,omitempty"`
	Fields   []slackTextObject `json:"fields,omitempty"`
	Elements []slackTextObject `json:"elements,omitempty"`
}

type slackTextObject struct {
	Type string `json:"type"`
	Text string `json:"text"`
	// Emoji is false where colons are colons.
	Emoji *bool `json:"emoji,omitempty"`
	// Verbatim keeps Slack from making links of what looks like an address, a channel or a name.
	Verbatim *bool `json:"verbatim,omitempty"`
}

// slackOf writes a notice for Slack: a header, what happened, facts in two columns, what somebody wrote, and of what it
// tells, in small letters.
func slackOf(n *notice) *slackMessage {
	title := slackLine(n.icon+" "+n.title, slackHeader)
	m := &slackMessage{Text: slackLine(n.icon+" "+strings.TrimSuffix(n.title+". "+n.text, ". "), slackFallback)}
	m.Blocks = append(m.Blocks, slackBlock{Type: "header", Text: &slackTextObject{Type: "plain_text", Text: title, Emoji: new(false)}})
	if n.text != "" {
		m.Blocks = append(m.Blocks, slackSection(slackLine(n.text, slackText)))
	}
	if len(n.items) > 0 {
		m.Blocks = append(m.Blocks, slackSection(slackList(n.items)))
	}
	if len(n.facts) > 0 {
		b := slackBlock{Type: "section"}
		for _, f := range n.facts[:min(len(n.facts), slackFields)] {
			b.Fields = append(b.Fields, *mrkdwn("*" + slackLine(f.name, slackField) + "*\n" + slackLine(f.value, slackField)))
		}
		m.Blocks = append(m.Blocks, b)
	}
	if n.quote != "" {
		m.Blocks = append(m.Blocks, slackSection(slackQuoted(n.quote)))
	}
	if foot := slackFoot(n); foot != "" {
		m.Blocks = append(m.Blocks, slackBlock{Type: "context", Elements: []slackTextObject{*mrkdwn(foot)}})
	}
	return m
}

func slackSection(text string) slackBlock { return slackBlock{Type: "section", Text: mrkdwn(text)} }

func mrkdwn(text string) *slackTextObject {
	return &slackTextObject{Type: "mrkdwn", Text: text, Verbatim: new(true)}
}

// slackLine escapes and cuts one line.
func slackLine(s string, limit int) string { return escapeTo(line(s), limit, slackRune) }

// slackRune escapes a character as Slack asks for it: with these three, no mention, link or date can be written. What is no
// mention by that, but was one to older clients, is broken up.
func slackRune(_, r rune, rest string) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '@' && callsAll(rest):
		return "@" + joiner
	default:
		return string(r)
	}
}

// slackQuoted marks every line of a text as a quotation.
func slackQuoted(s string) string {
	var out []string
	for l := range strings.SplitSeq(escapeTo(s, slackQuote, slackRune), "\n") {
		out = append(out, ">"+l)
	}
	// A mark for each line is half as much again at most, which is still less than a section takes.
	return strings.Join(out, "\n")
}

// slackList writes lines with bullets, as many as there is room for.
func slackList(items []string) string {
	var out strings.Builder
	for _, item := range items {
		next := "• " + slackLine(item, slackField) + "\n"
		if utf16Length(out.String())+utf16Length(next) > slackItems {
			break
		}
		out.WriteString(next)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// slackFoot says when it was, in the reader's time, and of what it tells.
func slackFoot(n *notice) string {
	var parts []string
	if n.at.Unix() > 0 {
		parts = append(parts, fmt.Sprintf("<!date^%d^{date_short_pretty} {time_secs}|%s>", n.at.Unix(), n.at.UTC().Format("2006-01-02 15:04:05 UTC")))
	}
	if n.about != "" {
		parts = append(parts, slackLine(n.about, slackField))
	}
	return strings.Join(parts, " · ")
}
