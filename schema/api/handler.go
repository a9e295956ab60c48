package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/throughline/throughline/schema/web"
)

// Paths of the document.
const (
	YAMLPath = "/openapi.yaml"
	JSONPath = "/openapi.json"
	PagePath = "/docs"
)

// Serve adds the routes of the document to a router, which must be one that asks for no key. The document is read when it
// is asked for the first time: a process that nobody asks does not spend a moment of its start on it.
func Serve(router *web.Router) {
	forms := sync.OnceValues(readForms)
	for _, path := range []string{YAMLPath, JSONPath, PagePath} {
		router.Handle(http.MethodGet, path, func(w http.ResponseWriter, r *http.Request) error {
			all, err := forms()
			if err != nil {
				return err
			}
			all[path].answer(w, r)
			return nil
		})
	}
}

// form is one way in which the document is served.
type form struct {
	media string
	body  []byte
	tag   string
	// policy is what browsers may do with it, if it is a page.
	policy string
}

// readForms makes every form of the document, by its path.
func readForms() (map[string]form, error) {
	d, err := Load()
	if err != nil {
		return nil, err
	}
	p, err := d.render()
	if err != nil {
		return nil, err
	}
	return map[string]form{
		YAMLPath: {media: "application/yaml", body: d.YAML, tag: tag(d.YAML)},
		JSONPath: {media: "application/json", body: d.JSON, tag: tag(d.JSON)},
		PagePath: {media: "text/html; charset=utf-8", body: p.html, tag: tag(p.html), policy: p.policy},
	}, nil
}

// tagLength is how many bytes of a hash tell two versions apart.
const tagLength = 8

func tag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:tagLength]) + `"`
}

// answer writes the form, or that the client has it already.
func (f form) answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", f.tag)
	// A browser asks each time, and is told in a few bytes that nothing has changed.
	h.Set("Cache-Control", "no-cache")
	if has(r.Header.Get("If-None-Match"), f.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.media)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
		h.Set("Referrer-Policy", "no-referrer")
	}
	_, _ = w.Write(f.body) // a client that has gone cannot be told
}

// has compares tags as RFC 9110 says: weakly, with any of a list.
func has(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimSpace(part); part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}
