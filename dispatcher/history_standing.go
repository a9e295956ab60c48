package dispatcher

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/webhook"
)

// standings tells where deliveries of one endpoint stand, at most as many as a list may have rows. Those that nothing is
// known of are left out.
func (h *history) standings(ctx context.Context, workspace, endpoint string, of []*webhook.Delivery) (map[string]standing, error) {
	ids := make([]string, len(of))
	first, last := of[0].PlannedAt, of[0].PlannedAt
	for i, d := range of {
		ids[i] = d.ID
		if d.PlannedAt.Before(first.Time) {
			first = d.PlannedAt
		}
		if d.PlannedAt.After(last.Time) {
			last = d.PlannedAt
		}
	}
	known := make(map[string]standing, len(of))
	// The times narrow what is read to where these deliveries stand.
	err := h.read(ctx, `SELECT delivery_id, `+statusOf+`, max(attempt) FROM `+table.WebhookAttempts+`
		WHERE workspace = {ws:String} AND endpoint_id = {id:String}
			AND planned_at BETWEEN fromUnixTimestamp64Milli({first:Int64}, 'UTC') AND fromUnixTimestamp64Milli({last:Int64}, 'UTC')
			AND delivery_id IN {ids:Array(String)}
		GROUP BY delivery_id`,
		func(scan func(...any) error) error {
			var id, status string
			var attempts int32
			err := scan(&id, &status, &attempts)
			known[id] = standing{webhook.Status(status), int(attempts)}
			return err
		}, clickhouse.Named("ws", workspace), clickhouse.Named("id", endpoint), clickhouse.Named("ids", ids),
		clickhouse.Named("first", first.UnixMilli()), clickhouse.Named("last", last.UnixMilli()))
	return known, err
}
