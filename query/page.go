package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
)

// page is a list's answer. Its rows are written already, because some of their members are kept byte for byte.
type page struct {
	rows [][]byte
	// next is the cursor of the next page; nil on the last one.
	next *string
	asOf time.Time
}

// write answers with the page. It stands beside web.WriteJSON because an encoder would reformat what producers sent.
func (p page) write(w http.ResponseWriter) error {
	foot, err := encode(struct {
		NextCursor *string    `json:"nextCursor"`
		AsOf       event.Time `json:"asOf"`
	}{p.next, event.TimeOf(p.asOf)})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(`{"data":`)
	b.Write(joinArray(p.rows))
	b.WriteByte(',')
	b.Write(foot[1:])
	writeRaw(w, b.Bytes())
	return nil
}

// writeRaw answers 200 with JSON that is written already.
func writeRaw(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that has gone cannot be told
}

// member is a member whose value is JSON text that must stay as it is.
type member struct {
	name string
	raw  []byte
}

// encode writes an object and appends members to it. v must have members of its own.
func encode(v any, raw ...member) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // descriptionHtml is read by people too
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode row: %w", err)
	}
	b.Truncate(b.Len() - len("}\n"))
	for _, m := range raw {
		b.WriteString(`,"` + m.name + `":`)
		b.Write(m.raw)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// verbatim is a stored JSON text as a member: null where there is none, and a string where the text is not JSON, for one
// broken row must not break a page.
func verbatim(text string) []byte {
	if text == "" {
		return []byte("null")
	}
	if raw := []byte(text); json.Valid(raw) {
		return raw
	}
	quoted, err := json.Marshal(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return []byte("null") // a string that is UTF-8 can always be written
	}
	return quoted
}

// list is verbatim for members that are arrays: empty where nothing is stored.
func list(text string) json.RawMessage {
	if text == "" || !json.Valid([]byte(text)) {
		return json.RawMessage("[]")
	}
	return json.RawMessage(text)
}

// optional is null for the empty string, which the tables store for what is absent.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// joinArray writes an array of values that are written already.
func joinArray(values [][]byte) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	b.Write(bytes.Join(values, []byte{','}))
	b.WriteByte(']')
	return b.Bytes()
}
