// Package sanitize makes HTML that a page may show of descriptions as they were sent. What the API answers and what webhooks
// carry are the same.
package sanitize

import (
	"html"
	"slices"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	parser "golang.org/x/net/html"

	"github.com/throughline/throughline/schema/markup"
)

// Sanitizer turns a description as it was sent into HTML that a page may show. It is safe for concurrent use.
type Sanitizer struct {
	policy *bluemonday.Policy
}

// New makes a Sanitizer.
func New() *Sanitizer {
	p := bluemonday.NewPolicy()
	p.AllowElements(markup.Elements()...)
	// An a without a link, and a span, are their text.
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("https")
	p.AllowRelativeURLs(false)
	p.RequireParseableURLs(true)
	// The author of a description must neither gain from the link nor reach the page that shows it.
	p.RequireNoFollowOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return &Sanitizer{policy: p}
}

// Description returns the HTML of a description. It is HTML where it has at least one allowed element, and otherwise
// text, whose line breaks are kept.
func (s *Sanitizer) Description(text string) string {
	if !markup.IsHTML(text) {
		return escapeText(text)
	}
	return balance(s.policy.Sanitize(text))
}

// escapeText shows a text as it is.
func escapeText(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.ReplaceAll(html.EscapeString(text), "\n", "<br>")
}

// balance closes what the author left open and drops ends without a beginning, so that a description cannot reach out of
// the element that it is put into. It works on the sanitizer's output, whose tags are well formed.
func balance(clean string) string {
	var out strings.Builder
	var open []string
	t := parser.NewTokenizer(strings.NewReader(clean))
	for {
		switch t.Next() {
		case parser.ErrorToken:
			for _, name := range slices.Backward(open) {
				out.WriteString("</" + name + ">")
			}
			return out.String()
		case parser.StartTagToken, parser.SelfClosingTagToken:
			// A browser takes <b/> for <b>.
			tag := strings.TrimSuffix(strings.TrimSuffix(string(t.Raw()), ">"), "/") + ">"
			name, _ := t.TagName()
			if !isVoid(string(name)) {
				open = append(open, string(name))
			}
			out.WriteString(tag)
		case parser.EndTagToken:
			name, _ := t.TagName()
			open = closeTo(&out, open, string(name))
		default:
			out.Write(t.Raw())
		}
	}
}

// closeTo ends an element and those inside it that are still open.
func closeTo(out *strings.Builder, open []string, name string) []string {
	at := len(open) - 1
	for at >= 0 && open[at] != name {
		at--
	}
	if at < 0 {
		return open
	}
	for _, inner := range slices.Backward(open[at:]) {
		out.WriteString("</" + inner + ">")
	}
	return open[:at]
}

// isVoid reports whether an allowed element has no end.
func isVoid(name string) bool { return name == "br" || name == "hr" }
