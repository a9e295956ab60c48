package topic

import "time"

// The topics of webhooks (package webhook).
const (
	// WebhookEndpoints holds endpoints and their states.
	WebhookEndpoints Name = "webhook-endpoints.v1"
	// WebhookDeliveries holds deliveries that are to be attempted now.
	WebhookDeliveries Name = "webhook-deliveries.v1"
	// WebhookRetries5s and the others hold deliveries that are to be attempted later, one topic for each delay.
	WebhookRetries5s  Name = "webhook-retries-5s.v1"
	WebhookRetries1m  Name = "webhook-retries-1m.v1"
	WebhookRetries5m  Name = "webhook-retries-5m.v1"
	WebhookRetries30m Name = "webhook-retries-30m.v1"
	WebhookRetries3h  Name = "webhook-retries-3h.v1"
	// WebhookAttempts holds what attempts did.
	WebhookAttempts Name = "webhook-attempts.v1"
	// WebhookReplays holds jobs that send events again, and how far they have come.
	WebhookReplays Name = "webhook-replays.v1"
	// WebhookQueues holds who came into the queues of teams and left them, in the order in which that is counted.
	WebhookQueues Name = "webhook-queues.v1"
	// WebhookQueueSizes holds the sizes of the queues of teams.
	WebhookQueueSizes Name = "webhook-queue-sizes.v1"
	// WebhookLanes holds the conversations whose deliveries wait for each other.
	WebhookLanes Name = "webhook-lanes.v1"
)

// Types of the records of webhooks, as in ce_type.
const (
	TypeWebhookEndpoint = "throughline.webhook-endpoint"
	TypeWebhookState    = "throughline.webhook-state"
	TypeWebhookDelivery = "throughline.webhook-delivery"
	TypeWebhookAttempt  = "throughline.webhook-attempt"
	TypeWebhookReplay   = "throughline.webhook-replay"
	TypeWebhookCancel   = "throughline.webhook-replay-cancel"
	TypeQueueChange     = "throughline.queue-change"
	TypeQueueSize       = "throughline.queue-size"
	TypeWebhookLane     = "throughline.webhook-lane"
)

// webhooks lists the topics of webhooks. The order of writes to an endpoint and to its state counts, so they are in one
// partition. The two of queues share their number of partitions, because the planner of queues writes to the one it reads.
func webhooks() []Spec {
	retries := func(name Name, delay string) Spec {
		return Spec{Name: name, Retention: 7 * day, Purpose: "A delivery that is attempted again, after " + delay + " in this topic."}
	}
	return []Spec{
		{
			Name: WebhookEndpoints, Partitions: 1, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "A webhook endpoint (its URL, headers and secrets sealed), and what deliveries have made of it.",
		},
		{
			Name: WebhookDeliveries, Retention: 7 * day,
			Purpose: "One event for one endpoint, to be attempted now.",
		},
		retries(WebhookRetries5s, "5 seconds"),
		retries(WebhookRetries1m, "a minute"),
		retries(WebhookRetries5m, "5 minutes"),
		retries(WebhookRetries30m, "30 minutes"),
		retries(WebhookRetries3h, "3 hours"),
		{
			Name: WebhookAttempts, Retention: 30 * day,
			Purpose: "What one attempt to deliver did.",
		},
		{
			Name: WebhookLanes, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "The deliveries of one conversation to one endpoint that wait for each other, by their offsets; a tombstone means that none does.",
		},
		{
			Name: WebhookReplays, Compacted: true, DeleteRetention: TombstoneRetention,
			Purpose: "A job that sends events to an endpoint again: its range, how far it has come, and that it is to be cancelled.",
		},
		{
			Name: WebhookQueues, Retention: 7 * day,
			Purpose: "A conversation came into the queue of a team, or left it.",
		},
		{
			// A size is written at every batch; those that were replaced go soon, so that a restart reads few.
			Name: WebhookQueueSizes, Compacted: true, DeleteRetention: TombstoneRetention, MaxLag: time.Hour,
			Purpose: "The size of the queue of a team, as far as it was counted.",
		},
	}
}
