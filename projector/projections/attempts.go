package projections

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// WebhookAttempts gives one row for each delivery that was planned, and one for each attempt to make it.
func WebhookAttempts() Projection {
	return Projection{
		Table:     table.WebhookAttempts,
		Topics:    []topic.Name{topic.WebhookDeliveries, topic.WebhookAttempts},
		Version:   1,
		Keeps:     30 * 24 * time.Hour,
		Transform: webhookRows,
	}
}

func webhookRows(ctx context.Context, rec Record, open Opener, to *table.Block) error {
	var row *table.WebhookAttemptRow
	var err error
	switch rec.Name {
	case topic.WebhookDeliveries:
		row, err = plannedRow(ctx, rec, open)
	case topic.WebhookAttempts:
		row, err = attemptRow(ctx, rec, open)
	default:
		err = poison(errors.New("the table of attempts knows no topic of this name"))
	}
	if err != nil || row == nil {
		return err
	}
	row.PlannedAt, row.At, row.NextAt = within(row.PlannedAt), within(row.At), within(row.NextAt)
	row.StoredAt, row.From = rec.StoredAt(), rec.source(0)
	to.Add(row)
	return nil
}

// plannedRow is the row of a new delivery. One that comes back to be attempted again has none: its rows are those of its
// attempts.
func plannedRow(ctx context.Context, rec Record, open Opener) (*table.WebhookAttemptRow, error) {
	d, err := webhook.ParseDelivery(rec.Value)
	if err != nil {
		// The sender reads it, too, and keeps it as a dead letter.
		return nil, nil //nolint:nilnil,nilerr // no row, as the comment above says
	}
	if d.Again {
		return nil, nil //nolint:nilnil // no row, as the comment of the function says
	}
	body, err := openText(ctx, open, d.Body, Sealed{
		Workspace: d.Workspace, Subject: d.Subject, KeyID: d.KeyID, Bytes: d.Sealed,
		Additional: webhook.BodyData(d.Workspace, d.Type, d.Subject, d.Event),
	})
	if err != nil {
		return nil, err
	}
	return &table.WebhookAttemptRow{
		Workspace: d.Workspace, EndpointID: d.Endpoint, PlannedAt: d.PlannedAt.Time, DeliveryID: d.ID, Type: d.Type,
		SubjectType: string(d.Subject.Type), SubjectID: d.Subject.ID, Event: d.Event, Status: string(webhook.Pending),
		At: d.PlannedAt.Time, NextAt: epoch(), Timing: "{}", RequestHeaders: "{}", ResponseHeaders: "{}", Content: body,
	}, nil
}

func attemptRow(ctx context.Context, rec Record, open Opener) (*table.WebhookAttemptRow, error) {
	a, err := webhook.ParseAttempt(rec.Value)
	if err != nil {
		return nil, poison(err)
	}
	answer, err := openText(ctx, open, a.Response, Sealed{
		Workspace: a.Workspace, Subject: a.Subject, KeyID: a.KeyID, Bytes: a.Sealed, Additional: webhook.ResponseData(a.Delivery),
	})
	if err != nil {
		return nil, err
	}
	row := &table.WebhookAttemptRow{
		Workspace: a.Workspace, EndpointID: a.Endpoint, PlannedAt: a.PlannedAt.Time, DeliveryID: a.Delivery, Attempt: int32(a.Number),
		Type: a.Type, SubjectType: string(a.Subject.Type), SubjectID: a.Subject.ID, Event: a.Event, Status: string(a.Status),
		Outcome: string(a.Outcome), At: a.At.Time, NextAt: epoch(), StatusCode: int32(a.StatusCode), Error: a.Error,
		Protocol: a.Protocol, Reused: a.Reused, Content: answer, Truncated: a.Truncated,
	}
	if !a.NextAt.IsZero() {
		row.NextAt = a.NextAt.Time
	}
	for _, part := range []struct {
		to   *string
		from any
	}{
		{&row.Timing, a.Timing}, {&row.RequestHeaders, orEmpty(a.RequestHeaders)}, {&row.ResponseHeaders, orEmpty(a.ResponseHeaders)},
	} {
		text, err := json.Marshal(part.from)
		if err != nil {
			return nil, poison(err)
		}
		*part.to = string(text)
	}
	return row, nil
}

// openText gives what is kept plain or sealed; it is empty where the subject was erased.
func openText(ctx context.Context, open Opener, plain string, s Sealed) (string, error) {
	if plain != "" {
		return plain, nil
	}
	text, err := opened(ctx, open, s, func(b []byte) (*string, error) {
		text := strings.ToValidUTF8(string(b), "\uFFFD")
		return &text, nil
	})
	if err != nil || text == nil {
		return "", err
	}
	return *text, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// epoch stands in the table for a time that there is none of.
func epoch() time.Time { return time.UnixMilli(0).UTC() }
