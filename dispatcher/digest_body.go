package dispatcher

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/throughline/throughline/schema/event"
)

// digestType is the type of a body that has several others.
const digestType = "digest"

// digestData is the data of a digest: how many events it has, the time in which they came into the log, and each as it
// would be posted alone, with the id of its delivery.
type digestData struct {
	Count  int               `json:"count"`
	From   event.Time        `json:"from"`
	To     event.Time        `json:"to"`
	Events []json.RawMessage `json:"events"`
}

// digestBody writes the body of a digest. It depends on the deliveries and the endpoint's interval alone, so that a digest
// that is tried again is the same byte for byte.
func digestBody(seconds int, parts []part) ([]byte, error) {
	d := digestData{Count: len(parts), Events: make([]json.RawMessage, len(parts))}
	d.From, d.To = parts[0].delivery.PlannedAt, parts[len(parts)-1].delivery.PlannedAt
	if seconds > 0 {
		interval := time.Duration(seconds) * time.Second
		d.From = event.TimeOf(d.From.Truncate(interval))
		d.To = event.TimeOf(digestEnd(seconds, d.To.Time))
	}
	for i, p := range parts {
		// A body is an object that begins with its type; its id goes before that, and the rest stays byte for byte.
		d.Events[i] = append([]byte(`{"id":"`+p.delivery.ID+`",`), bytes.TrimPrefix(bytes.TrimSpace(p.content.body), []byte("{"))...)
	}
	return encodeBody(digestType, d.To, d)
}
