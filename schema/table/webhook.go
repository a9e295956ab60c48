package table

import "time"

// WebhookAttempts is the table of what became of deliveries of webhooks.
const WebhookAttempts = "webhook_attempts"

// WebhookAttemptRow is one row of webhook_attempts.
type WebhookAttemptRow struct {
	Workspace, EndpointID string
	PlannedAt             time.Time
	DeliveryID            string
	// Attempt is 0 for the plan and for what was skipped.
	Attempt                       int32
	Type                          string
	SubjectType, SubjectID, Event string
	Status, Outcome               string
	At                            time.Time
	// NextAt is the Unix epoch where no attempt follows.
	NextAt     time.Time
	StatusCode int32
	Error      string
	// Timing is a JSON object of microseconds.
	Timing, Protocol string
	Reused           bool
	// RequestHeaders and ResponseHeaders are JSON objects.
	RequestHeaders, ResponseHeaders string
	// Content is what was sent, in the row of the plan, and the beginning of what was answered in the others.
	Content   string
	Truncated bool
	StoredAt  time.Time
	From      Source
}

func (r *WebhookAttemptRow) write(b *Block) {
	b.word("workspace", r.Workspace)
	b.text("endpoint_id", r.EndpointID)
	b.time("planned_at", r.PlannedAt)
	b.text("delivery_id", r.DeliveryID)
	b.int32("attempt", r.Attempt)
	b.word("type", r.Type)
	b.word("subject_type", r.SubjectType)
	b.text("subject_id", r.SubjectID)
	b.text("event_id", r.Event)
	b.word("status", r.Status)
	b.word("outcome", r.Outcome)
	b.time("at", r.At)
	b.time("next_at", r.NextAt)
	b.int32("status_code", r.StatusCode)
	b.text("error", r.Error)
	b.text("timing", r.Timing)
	b.word("protocol", r.Protocol)
	b.flag("reused", r.Reused)
	b.text("request_headers", r.RequestHeaders)
	b.text("response_headers", r.ResponseHeaders)
	b.text("content", r.Content)
	b.flag("truncated", r.Truncated)
	b.time("stored_at", r.StoredAt)
	b.source(r.From)
}
