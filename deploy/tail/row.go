package tail

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/throughline/throughline/deploy/client"
)

// row is a row of the event log.
type row struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	ObjectType string    `json:"objectType"`
	ObjectID   string    `json:"objectId"`
	ReceivedAt time.Time `json:"receivedAt"`
	StoredAt   time.Time `json:"storedAt"`
	Links      []struct {
		Link string `json:"link"`
	} `json:"links"`

	// raw is the row as it was answered.
	raw json.RawMessage
}

func parseRow(raw json.RawMessage) (*row, error) {
	r := &row{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("decode row of the event log: %w", err)
	}
	if r.ID == "" || r.ReceivedAt.IsZero() {
		return nil, fmt.Errorf("decode row of the event log: it has no id or no receivedAt: %.200s", raw)
	}
	return r, nil
}

// identity is an event's: its object and its id.
type identity [16]byte

func (r *row) identity() identity {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %q", r.ObjectType, r.ObjectID, r.ID) // a hash takes everything
	return identity(h.Sum(nil)[:16])
}

// write appends the row as a line: JSON without line breaks, or text for people.
func (r *row) write(b *bytes.Buffer, asJSON bool) error {
	if asJSON {
		if err := json.Compact(b, r.raw); err != nil {
			return fmt.Errorf("print event %s: %w", r.ID, err)
		}
		b.WriteByte('\n')
		return nil
	}
	fmt.Fprintf(b, "%s  %s %s  %s", r.ReceivedAt.UTC().Format("2006-01-02T15:04:05.000Z"), r.ObjectType, client.Printable(r.ObjectID), client.Printable(r.Name))
	if n := len(r.Links) - 1; n > 0 {
		fmt.Fprintf(b, "  +%d related", n)
	}
	fmt.Fprintf(b, "  (%s)\n", client.Printable(r.ID))
	return nil
}
