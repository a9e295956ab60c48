package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/parser"
)

//go:embed page/page.html
var pageTemplate string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

// page is the document for people: one file with everything in it, and the policy that lets browsers use nothing else.
type page struct {
	html   []byte
	policy string
}

// chapter is a tag with its operations.
type chapter struct {
	Tag

	Anchor     string
	Operations []*Operation
}

// render writes the page. Nothing in it comes from a request.
func (d *Document) render() (*page, error) {
	markdown := goldmark.New(goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	functions := template.FuncMap{
		"markdown": func(text string) (template.HTML, error) {
			var b bytes.Buffer
			if err := markdown.Convert([]byte(text), &b); err != nil {
				return "", err
			}
			return template.HTML(b.String()), nil //nolint:gosec // the converter escapes what is HTML in the text, and the text is ours
		},
		"inline": inline,
		"pretty": pretty,
		"fields": Schema.fields,
		"kind":   Schema.kind,
		"lower":  strings.ToLower,
		"family": func(status int) string { return strconv.Itoa(status / 100) },
		"reason": http.StatusText,
	}
	t, err := template.New("page").Funcs(functions).Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("read template of the API's page: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		*Document

		Chapters []chapter
		Style    template.CSS
		Script   template.JS
	}{d, d.chapters(), template.CSS(pageStyle), template.JS(pageScript)}) //nolint:gosec // both are files of this package
	if err != nil {
		return nil, fmt.Errorf("write the API's page: %w", err)
	}
	policy := fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		fingerprint(pageStyle), fingerprint(pageScript))
	return &page{b.Bytes(), policy}, nil
}

// fingerprint names a text of the page in its policy.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (d *Document) chapters() []chapter {
	all := make([]chapter, len(d.Tags))
	for i, tag := range d.Tags {
		all[i] = chapter{Tag: tag, Anchor: "tag-" + strings.ToLower(tag.Name)}
		for _, o := range d.Operations {
			if o.Tag == tag.Name {
				all[i].Operations = append(all[i].Operations, o)
			}
		}
	}
	return all
}

// inline is a short text whose `code` is marked.
func inline(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(strings.Join(strings.Fields(text), " "), "`") {
		escaped := template.HTMLEscapeString(part)
		if i%2 == 1 {
			escaped = "<code>" + escaped + "</code>"
		}
		b.WriteString(escaped)
	}
	return template.HTML(b.String()) //nolint:gosec // its parts are escaped
}

// Problem types, scopes and other lists of an operation, for its table.

// ProblemTypes are the types of problems that a response can be.
func (r Response) ProblemTypes() []string {
	var all []string
	for _, media := range r.Content {
		for _, t := range media.Schema.get("properties").get("type").get("enum").texts() {
			all = append(all, t[strings.LastIndexByte(t, ':')+1:])
		}
	}
	return all
}

// IsProblem says that the response is an error.
func (r Response) IsProblem() bool { return r.Status >= http.StatusBadRequest }
