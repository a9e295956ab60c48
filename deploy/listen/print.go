package listen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/throughline/throughline/deploy/client"
)

// maxShown bounds what is shown of data that has no form of its own, in code points.
const maxShown = 200

// told is what people want to see of a body.
type told struct {
	Type string `json:"type"`
	Data struct {
		Event *struct {
			Name    string `json:"name"`
			Primary ref    `json:"primary"`
		} `json:"event"`
		Links        []json.RawMessage `json:"links"`
		Conversation *struct {
			ID    string `json:"conversationId"`
			State string `json:"state"`
			Team  string `json:"team"`
		} `json:"conversation"`
	} `json:"data"`
}

type ref struct {
	Type string `json:"objectType"`
	ID   string `json:"objectId"`
}

// write appends the delivery as a line: JSON, or text for people.
func (d *delivery) write(b *bytes.Buffer, asJSON bool) {
	if asJSON {
		shown := *d
		if !json.Valid(d.Body) {
			// Whoever signed it knows the secret, so it is shown all the same.
			shown.Body, _ = json.Marshal(string(d.Body)) // a string has no way to fail
		}
		line, err := json.Marshal(shown)
		if err != nil {
			line = []byte("{}") // its members have no way to fail
		}
		b.Write(line)
		b.WriteByte('\n')
		return
	}
	fmt.Fprintf(b, "%s  %s  (%s", d.ReceivedAt.UTC().Format("2006-01-02T15:04:05.000Z"), client.Printable(summary(d.Body)), client.Printable(d.ID))
	if d.Times > 1 {
		fmt.Fprintf(b, ", time %d", d.Times)
	}
	switch {
	case d.dropped:
		b.WriteString(", dropped")
	case d.Answer != http.StatusOK:
		fmt.Fprintf(b, ", answered %d", d.Answer)
	}
	b.WriteString(")\n")
}

// summary says in a few words what a body tells.
func summary(body []byte) string {
	var t told
	if json.Unmarshal(body, &t) != nil || t.Type == "" {
		return cut(string(body))
	}
	switch {
	case t.Data.Conversation != nil:
		c := t.Data.Conversation
		text := fmt.Sprintf("%s  CONVERSATION %s  %s", t.Type, c.ID, c.State)
		if c.Team != "" {
			text += "  team " + c.Team
		}
		return text
	case t.Data.Event != nil:
		e := t.Data.Event
		text := fmt.Sprintf("%s  %s %s  %s", t.Type, e.Primary.Type, e.Primary.ID, e.Name)
		if n := len(t.Data.Links) - 1; n > 0 {
			text += fmt.Sprintf("  +%d related", n)
		}
		return text
	default:
		var plain struct {
			Data json.RawMessage `json:"data"`
		}
		_ = json.Unmarshal(body, &plain) // it has been read once
		return t.Type + "  " + cut(string(plain.Data))
	}
}

func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if runes := []rune(s); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return s
}
