package api

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// Names of the environment in which the commands of the page find what is the reader's own.
const (
	urlVar         = "$THROUGHLINE_URL"
	keyVar         = "$THROUGHLINE_KEY"
	operatorKeyVar = "$THROUGHLINE_ADMIN_KEY"
)

// operatorScheme is the security scheme of the operator's key.
const operatorScheme = "operatorKey"

// Example is a request that the document shows.
type Example struct {
	Operation *Operation
	// Name tells the examples of an operation apart.
	Name, Summary string
	// Path is the path with its query.
	Path string
	// Header has the parameters that are headers, by name and value, without that of the key.
	Header [][2]string
	// Media and Body are empty where there is none.
	Media string
	Body  []byte
}

// Examples are the requests that the document shows of an operation: with each of its bodies, and all parameters that are
// required.
func (o *Operation) Examples() []Example { return o.examples(nil) }

// Variants are the examples of the operation's first body with each of its optional parameters, one at a time.
func (o *Operation) Variants() []Example {
	var all []Example
	for i := range o.Parameters {
		if p := &o.Parameters[i]; !p.Required && len(p.Examples) > 0 {
			e := o.examples(p)[0]
			e.Name = strings.TrimSpace(e.Name + " with " + p.Name)
			all = append(all, e)
		}
	}
	return all
}

func (o *Operation) examples(with *Parameter) []Example {
	base := Example{Operation: o, Path: o.Path}
	query := url.Values{}
	for i := range o.Parameters {
		p := &o.Parameters[i]
		switch {
		case p.In == "path":
			base.Path = strings.ReplaceAll(base.Path, "{"+p.Name+"}", url.PathEscape(p.Examples[0]))
		case !p.Required && p != with:
		case p.In == "query":
			query[p.Name] = p.Examples
		default:
			base.Header = append(base.Header, [2]string{p.Name, p.Examples[0]})
		}
	}
	if len(query) > 0 {
		base.Path += "?" + query.Encode()
	}
	if o.Body == nil {
		return []Example{base}
	}
	var all []Example
	for _, media := range o.Body.Content {
		for _, sample := range media.Examples {
			e := base
			e.Name, e.Summary, e.Media, e.Body = sample.Name, sample.Summary, media.Type, sample.Value
			all = append(all, e)
		}
	}
	return all
}

// Operator says that the operation is opened by the operator's key.
func (o *Operation) Operator() bool {
	return len(o.Security) > 0 && o.Security[0].Scheme == operatorScheme
}

// Public says that the operation needs no key.
func (o *Operation) Public() bool { return len(o.Security) == 0 }

// Curl is the example as a command to paste.
func (e Example) Curl() string {
	var b strings.Builder
	b.WriteString("curl ")
	if m := e.Operation.Method; m != "GET" && (m != "POST" || e.Body == nil) {
		b.WriteString("-X " + m + " ")
	}
	b.WriteString(`"` + urlVar + e.Path + `"`)
	option := func(flag, value string) { b.WriteString(" \\\n  " + flag + " " + value) }
	switch {
	case e.Operation.Operator():
		option("-H", `"Authorization: Bearer `+operatorKeyVar+`"`)
	case !e.Operation.Public():
		option("-H", `"Authorization: Bearer `+keyVar+`"`)
	}
	for _, h := range e.Header {
		option("-H", quote(h[0]+": "+h[1]))
	}
	if e.Body != nil {
		option("-H", quote("Content-Type: "+e.Media))
		option("--data-binary", quote(strings.TrimSuffix(pretty(e.Body), "\n")))
	}
	return b.String()
}

// quote makes one word of a shell of a text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shortLine is the length up to which JSON is shown in one line.
const shortLine = 72

// pretty is JSON as people read it. Anything else stays as it is.
func pretty(text []byte) string {
	var b bytes.Buffer
	if len(text) <= shortLine || json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}
