package webhook

import (
	"encoding/base64"
	"maps"
	"slices"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// Deliveries and attempts are written by hand, as package event's records are: each delivery is written twice at least, and
// once more whenever it is put off. They are the bytes that json.Marshal would give.

// fixedBytes is about what a delivery has beside its body, and an attempt beside its texts.
const fixedBytes = 640

// Encode writes the record's value.
func (d *Delivery) Encode() ([]byte, error) {
	d.Version = RecordVersion
	w := &record.Writer{B: make([]byte, 0, fixedBytes+len(d.Body)+base64.StdEncoding.EncodedLen(len(d.Sealed)))}
	w.Raw("{")
	w.Int("v", int64(d.Version))
	w.Text("id", d.ID)
	w.Text("workspace", d.Workspace)
	w.Text("endpoint", d.Endpoint)
	w.Text("type", d.Type)
	appendSubject(w, d.Subject)
	w.Text("event", d.Event)
	appendMoment(w, "plannedAt", d.PlannedAt)
	w.OptionalInt("attempts", int64(d.Attempts))
	w.OptionalInt("deferrals", int64(d.Deferrals))
	w.Time("dueAt", d.DueAt.Time)
	w.Time("leavesAt", d.LeavesAt.Time)
	w.OptionalInt("waits", d.Waits)
	w.True("again", d.Again)
	w.OptionalInt("before", int64(d.Before))
	w.Time("replayedAt", d.ReplayedAt.Time)
	w.Optional("digest", d.Digest)
	w.OptionalInt("digestSize", int64(d.DigestSize))
	w.True("once", d.Once)
	w.Optional("body", d.Body)
	w.Optional("keyId", d.KeyID)
	w.Bytes("sealed", d.Sealed)
	w.Raw("}")
	return w.B, nil
}

// Encode writes the record's value.
func (a *Attempt) Encode() ([]byte, error) {
	a.Version = RecordVersion
	w := &record.Writer{B: make([]byte, 0, 2*fixedBytes+len(a.Response)+base64.StdEncoding.EncodedLen(len(a.Sealed)))}
	w.Raw("{")
	w.Int("v", int64(a.Version))
	w.Text("delivery", a.Delivery)
	w.Text("workspace", a.Workspace)
	w.Text("endpoint", a.Endpoint)
	w.Text("type", a.Type)
	appendSubject(w, a.Subject)
	w.Text("event", a.Event)
	appendMoment(w, "plannedAt", a.PlannedAt)
	w.Optional("digest", a.Digest)
	w.Int("attempt", int64(a.Number))
	w.Text("status", string(a.Status))
	w.Text("outcome", string(a.Outcome))
	appendMoment(w, "at", a.At)
	w.Time("nextAt", a.NextAt.Time)
	w.OptionalInt("statusCode", int64(a.StatusCode))
	w.Optional("error", a.Error)
	if a.Timing != (Timing{}) {
		w.Name("timing")
		w.Raw("{")
		w.OptionalInt("dns", a.Timing.DNS)
		w.OptionalInt("connect", a.Timing.Connect)
		w.OptionalInt("tls", a.Timing.TLS)
		w.OptionalInt("firstByte", a.Timing.FirstByte)
		w.OptionalInt("total", a.Timing.Total)
		w.Raw("}")
	}
	w.True("reused", a.Reused)
	w.Optional("protocol", a.Protocol)
	appendHeaders(w, "requestHeaders", a.RequestHeaders)
	appendHeaders(w, "responseHeaders", a.ResponseHeaders)
	w.Optional("response", a.Response)
	w.Optional("keyId", a.KeyID)
	w.Bytes("sealed", a.Sealed)
	w.True("truncated", a.Truncated)
	w.Raw("}")
	return w.B, nil
}

func appendSubject(w *record.Writer, ref object.Ref) {
	w.Name("subject")
	w.Raw("{")
	w.Text("objectType", string(ref.Type))
	w.Text("objectId", ref.ID)
	w.Raw("}")
}

// appendMoment appends a member that is a time; null where it is zero.
func appendMoment(w *record.Writer, name string, t event.Time) {
	if t.IsZero() {
		w.Name(name)
		w.Raw("null")
		return
	}
	w.Time(name, t.Time)
}

// appendHeaders appends headers by name, as encoding/json has them.
func appendHeaders(w *record.Writer, name string, headers map[string]string) {
	if len(headers) == 0 {
		return
	}
	w.Name(name)
	w.Raw("{")
	for i, header := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			w.Raw(",")
		}
		w.String(header)
		w.Raw(":")
		w.String(headers[header])
	}
	w.Raw("}")
}
