// Package contract holds services to the description of their API: it compares what they answer with the OpenAPI document
// of package api. Tests put it around a handler or a transport; whatever passes through is then checked, and what the
// document does not say fails the test.
//
// Of every answer it checks that its route, status, media type and headers are described, that headers which are promised
// are there, and that the body is what its schema says, without a member that the schema does not name. Of a request that
// was accepted it checks that the document allows it.
package contract

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline/throughline/schema/api"
)

// Case is an answer that the document describes: a status of an operation.
type Case struct {
	Operation string
	Status    int
}

// Checker compares exchanges with the document, and remembers which cases it has seen. It is safe for concurrent use.
type Checker struct {
	// Document is what exchanges are compared with.
	Document *api.Document

	// stray are the answers to requests that meet no operation, by their status.
	stray map[int]api.Response

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
	seen     map[Case]int
}

// documentURL is the name under which the compiler of schemas knows the document.
const documentURL = "urn:throughline:openapi"

// New reads the document.
func New() (*Checker, error) {
	d, err := api.Load()
	if err != nil {
		return nil, err
	}
	c := &Checker{
		Document: d, stray: map[int]api.Response{}, compiler: jsonschema.NewCompiler(),
		compiled: map[string]*jsonschema.Schema{}, seen: map[Case]int{},
	}
	for name, status := range map[string]int{"NotFound": http.StatusNotFound, "MethodNotAllowed": http.StatusMethodNotAllowed} {
		if c.stray[status], err = d.Shared(name, status); err != nil {
			return nil, err
		}
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.JSON))
	if err != nil {
		return nil, fmt.Errorf("read the document as JSON: %w", err)
	}
	tighten(root)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(documentURL, root); err != nil {
		return nil, fmt.Errorf("read the document's schemas: %w", err)
	}
	return c, nil
}

// shared is the checker of a test binary: compiling the schemas once is enough.
var shared = sync.OnceValues(New)

// Shared is the checker that all tests of a binary share.
func Shared(tb testing.TB) *Checker {
	tb.Helper()
	c, err := shared()
	if err != nil {
		tb.Fatalf("read the API's document: %v", err)
	}
	return c
}

// Seen says how often the cases have been seen.
func (c *Checker) Seen() map[Case]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.seen)
}

func (c *Checker) saw(operation string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[Case{operation, status}]++
}

// schema compiles the schema at a pointer into the document.
func (c *Checker) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.compiled[pointer]; ok {
		return s, nil
	}
	// The pointer is a fragment of an address, in which the braces of a path are not allowed.
	s, err := c.compiler.Compile(documentURL + "#" + (&url.URL{Fragment: pointer}).EscapedFragment())
	if err != nil {
		return nil, fmt.Errorf("compile schema %s: %w", pointer, err)
	}
	c.compiled[pointer] = s
	return s, nil
}

// tighten makes the schemas as strict as a test has to be. To clients, objects of answers are open, for answers grow; a
// test has to notice a member that the document does not know. Words that are read in any case are checked so.
func tighten(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, hasProperties := v["properties"].(map[string]any)
		_, decided := v["additionalProperties"]
		if v["type"] == "object" && hasProperties && !decided {
			v["additionalProperties"] = false
		}
		if words, ok := v["enum"].([]any); ok && v["x-case-insensitive"] == true {
			v["pattern"] = inAnyCase(words)
			delete(v, "enum")
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			// An example is no schema, whatever its members are called.
			if name != "example" && name != "examples" {
				tighten(v[name])
			}
		}
	case []any:
		for _, item := range v {
			tighten(item)
		}
	}
}

func inAnyCase(words []any) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strings.NewReplacer("(", `\(`, ")", `\)`).Replace(fmt.Sprint(w))
	}
	return `^(?i:\s*(?:` + strings.Join(quoted, "|") + `)\s*)$`
}
