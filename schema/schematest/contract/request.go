package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/web"
)

// allowed lists what the document does not allow of a request that was accepted.
func (c *Checker) allowed(op *api.Operation, r *http.Request, sent []byte) []string {
	faults := c.query(op, r.URL)
	path := strings.Split(r.URL.EscapedPath(), "/")
	for i, segment := range strings.Split(op.Path, "/") {
		name, variable := strings.CutPrefix(segment, "{")
		if !variable {
			continue
		}
		value, err := url.PathUnescape(path[i])
		if err != nil {
			return append(faults, fmt.Sprintf("the path was accepted, but %s is not percent-encoded", path[i]))
		}
		faults = append(faults, c.parameter(op, "path", strings.TrimSuffix(name, "}"), []string{value})...)
	}
	for _, p := range op.Parameters {
		if values := r.Header.Values(p.Name); p.In == "header" && len(values) > 0 {
			faults = append(faults, c.parameter(op, "header", p.Name, values)...)
		}
	}
	return append(faults, c.requestBody(op, r, sent)...)
}

func (c *Checker) query(op *api.Operation, u *url.URL) []string {
	// What needs no key reads no parameters, and does not mind any.
	if op.Public() {
		return nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return []string{fmt.Sprintf("the query was accepted, but cannot be read: %v", err)}
	}
	var faults []string
	for name, list := range values {
		list = slices.DeleteFunc(list, func(v string) bool { return v == "" })
		if len(list) > 0 {
			faults = append(faults, c.parameter(op, "query", name, list)...)
		}
	}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required && len(values[p.Name]) == 0 {
			faults = append(faults, "it was accepted, but "+p.Name+" is missing, which is required")
		}
	}
	return faults
}

func (c *Checker) parameter(op *api.Operation, in, name string, values []string) []string {
	i := slices.IndexFunc(op.Parameters, func(p api.Parameter) bool { return p.In == in && p.Name == name })
	if i < 0 {
		return []string{"it was accepted, but the document does not know the " + in + " parameter " + name}
	}
	p := op.Parameters[i]
	var all []any
	if p.Repeated {
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		all = []any{list}
	} else {
		all = readings(values[0])
	}
	if err := c.anyOf(p.Schema, all); err != nil {
		return []string{fmt.Sprintf("the %s parameter %s was accepted, but is not what its schema says: %v", in, name, err)}
	}
	return nil
}

// readings are what a text in a URL or a header may mean.
func readings(value string) []any {
	all := []any{value}
	if n, err := strconv.ParseFloat(value, 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
		all = append(all, json.Number(value))
	}
	return all
}

// longest bounds what is unpacked to be checked; it is above the greatest body that a service takes.
const longest = 64 << 20

func (c *Checker) requestBody(op *api.Operation, r *http.Request, sent []byte) []string {
	if op.Body == nil {
		return nil
	}
	again := r.Clone(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	body, err := web.Body(again, longest)
	if err != nil {
		return []string{fmt.Sprintf("the body was accepted, but cannot be read: %v", err)}
	}
	types := make([]string, len(op.Body.Content))
	for i, m := range op.Body.Content {
		types[i] = m.Type
	}
	media, err := web.MediaType(r, types...)
	i := slices.Index(types, media)
	if err != nil || i < 0 {
		return []string{"the body was accepted, but the document does not know its Content-Type " + r.Header.Get("Content-Type")}
	}
	if fault := c.body(op.Body.Content[i], body); fault != "" {
		return []string{"it was accepted, but " + fault}
	}
	return nil
}
