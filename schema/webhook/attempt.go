package webhook

import (
	"errors"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Status is where a delivery stands.
type Status string

// The statuses of a delivery.
const (
	// Pending: planned, no attempt has ended yet.
	Pending Status = "PENDING"
	// Retrying: the last attempt failed, and another one will be made.
	Retrying Status = "RETRYING"
	// Succeeded: the endpoint answered 2xx.
	Succeeded Status = "SUCCEEDED"
	// Exhausted: no attempt succeeded and none will be made.
	Exhausted Status = "EXHAUSTED"
	// Skipped: nothing was sent, because the endpoint was disabled or is gone, or the subject was erased.
	Skipped Status = "SKIPPED"
)

// Statuses lists every status.
func Statuses() []Status { return []Status{Pending, Retrying, Succeeded, Exhausted, Skipped} }

// Outcome classes how an attempt ended.
type Outcome string

// The outcomes of attempts.
const (
	OutcomeSuccess     Outcome = "success"
	OutcomeRedirect    Outcome = "redirect"
	OutcomeGone        Outcome = "gone"
	OutcomeRateLimited Outcome = "rate_limited"
	OutcomeClientError Outcome = "client_error"
	OutcomeServerError Outcome = "server_error"
	OutcomeTimeout     Outcome = "timeout"
	OutcomeDNS         Outcome = "dns"
	OutcomeConnect     Outcome = "connect"
	OutcomeTLS         Outcome = "tls"
	// OutcomeForbidden: the address is one that webhooks must not reach.
	OutcomeForbidden Outcome = "forbidden_address"
	// OutcomeBroken: the connection broke, or what came was no HTTP.
	OutcomeBroken Outcome = "broken"
	// The outcomes below are of deliveries that were not sent.
	OutcomeDisabled Outcome = "endpoint_disabled"
	OutcomeDeleted  Outcome = "endpoint_deleted"
	OutcomeErased   Outcome = "erased"
)

// Attempt is what one attempt did, or why there was none, in the topic webhook-attempts under its endpoint's key.
type Attempt struct {
	Version   int        `json:"v"`
	Delivery  string     `json:"delivery"`
	Workspace string     `json:"workspace"`
	Endpoint  string     `json:"endpoint"`
	Type      string     `json:"type"`
	Subject   object.Ref `json:"subject"`
	Event     string     `json:"event"`
	PlannedAt event.Time `json:"plannedAt"`
	// Digest is the webhook-id of the message that the delivery was posted in with others; empty where it was posted alone.
	Digest string `json:"digest,omitempty"`
	// Number is that of the attempt, from 1; 0 where nothing was sent.
	Number int `json:"attempt"`
	// Status is where the delivery stands after it.
	Status  Status     `json:"status"`
	Outcome Outcome    `json:"outcome"`
	At      event.Time `json:"at"`
	// NextAt is when the next attempt is due; zero where none is.
	NextAt     event.Time `json:"nextAt,omitzero"`
	StatusCode int        `json:"statusCode,omitempty"`
	// Error says for a person what went wrong.
	Error  string `json:"error,omitempty"`
	Timing Timing `json:"timing,omitzero"`
	// Reused says that a connection of an earlier attempt was used.
	Reused   bool   `json:"reused,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	// RequestHeaders are those that were sent, with secrets blotted out.
	RequestHeaders  map[string]string `json:"requestHeaders,omitempty"`
	ResponseHeaders map[string]string `json:"responseHeaders,omitempty"`
	// Response is the beginning of the answer's body, plain where the delivery's is, otherwise Sealed with the same key.
	Response  string `json:"response,omitempty"`
	KeyID     string `json:"keyId,omitempty"`
	Sealed    []byte `json:"sealed,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
}

// Timing is how long the phases of an attempt took, in microseconds; 0 for a phase that there was not.
type Timing struct {
	DNS       int64 `json:"dns,omitempty"`
	Connect   int64 `json:"connect,omitempty"`
	TLS       int64 `json:"tls,omitempty"`
	FirstByte int64 `json:"firstByte,omitempty"`
	Total     int64 `json:"total,omitempty"`
}

// ParseAttempt reads a record's value. It ignores members that it does not know.
func ParseAttempt(value []byte) (*Attempt, error) {
	var a Attempt
	if err := decode("attempt", value, &a, &a.Version); err != nil {
		return nil, err
	}
	if a.Delivery == "" || a.Workspace == "" || a.Endpoint == "" || a.Status == "" {
		return nil, errors.New("parse webhook attempt: delivery, workspace, endpoint and status are required")
	}
	return &a, nil
}
