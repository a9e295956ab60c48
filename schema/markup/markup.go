// Package markup says which descriptions are HTML and what of one is text. Who shows a description and who looks for its
// words must agree on both.
package markup

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Elements are the elements that a description may have. None of them loads anything, runs anything, takes input, or
// changes how what follows it is parsed.
func Elements() []string {
	return []string{
		"a", "b", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins",
		"kbd", "li", "mark", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "sup", "u", "ul",
	}
}

// IsHTML reports whether a description has at least one of the elements, read as a browser would: not in a comment, and
// not in a script. Any other description is text, with all its angle brackets.
func IsHTML(description string) bool {
	// Most descriptions are text, and without a bracket there is nothing to parse.
	if !strings.Contains(description, "<") {
		return false
	}
	elements := Elements()
	t := html.NewTokenizer(strings.NewReader(description))
	for {
		switch t.Next() {
		case html.ErrorToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			if name, _ := t.TagName(); slices.Contains(elements, string(name)) {
				return true
			}
		default:
		}
	}
}

// Text returns what people read of a description. Of HTML these are the texts without tags, comments and scripts, with
// entities as the characters that they stand for; a line break or the edge of a block is a space, while a word may go
// on across an element such as b. Any other description is returned as it is.
func Text(description string) string {
	if !IsHTML(description) {
		return description
	}
	var out strings.Builder
	hidden := 0 // how many open elements hide what is in them
	t := html.NewTokenizer(strings.NewReader(description))
	for {
		kind := t.Next()
		switch kind {
		case html.ErrorToken:
			return out.String()
		case html.TextToken:
			if hidden == 0 {
				out.Write(t.Text())
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			tag, _ := t.TagName()
			name := string(tag)
			switch {
			case hides(name) && kind == html.StartTagToken:
				hidden++
			case hides(name) && kind == html.EndTagToken:
				hidden = max(hidden-1, 0)
			}
			if !inline(name) {
				out.WriteByte(' ')
			}
		default:
		}
	}
}

// hides reports whether what is in an element is not for reading.
func hides(element string) bool {
	switch element {
	case "frame", "frameset", "iframe", "noembed", "noframes", "noscript", "nostyle", "object", "script", "style", "title":
		return true
	default:
		return false
	}
}

// inline reports whether an element stands within a line, so that its tags do not end a word. Elements that are unknown
// or not allowed end one: the cells of a table are words of their own although the table is not shown.
func inline(element string) bool {
	switch element {
	case "a", "b", "code", "del", "em", "i", "ins", "kbd", "mark", "s", "small", "span", "strong", "sub", "sup", "u",
		"abbr", "bdi", "bdo", "cite", "dfn", "font", "q", "samp", "tt", "var", "wbr":
		return true
	default:
		return false
	}
}
