// Package webhook holds what crosses a service boundary of webhooks: endpoints and their states, deliveries, attempts,
// and the rules of all of them. It knows no network and no log.
package webhook

import "slices"

// RecordVersion is the version of the form of this package's records. A reader refuses a greater one.
const RecordVersion = 1

// The types of events that an endpoint may ask for.
const (
	EventLinked             = "event.linked"
	ConversationOpened      = "conversation.opened"
	ConversationQueued      = "conversation.queued"
	ConversationBroadcasted = "conversation.broadcasted"
	ConversationAssigned    = "conversation.assigned"
	ConversationResponded   = "conversation.responded"
	ConversationTransferred = "conversation.transferred"
	ConversationLabeled     = "conversation.labeled"
	ConversationSurveyed    = "conversation.surveyed"
	ConversationClosed      = "conversation.closed"
	QueueFormed             = "queue.formed"
	QueueCleared            = "queue.cleared"
	EndpointDisabled        = "endpoint.disabled"
	DeliveryExhausted       = "delivery.exhausted"
	conversationRated       = "conversation.rated"
)

// EventTypes lists every type, in the order in which the catalogue names them.
func EventTypes() []string {
	return []string{
		EventLinked, ConversationOpened, ConversationQueued, ConversationBroadcasted, ConversationAssigned,
		ConversationResponded, ConversationTransferred, ConversationLabeled, ConversationSurveyed, ConversationClosed,
		QueueFormed, QueueCleared, EndpointDisabled, DeliveryExhausted,
	}
}

// ParseEventType reads a type or one of its aliases: conversation.rated is conversation.surveyed.
func ParseEventType(name string) (string, bool) {
	if name == conversationRated {
		return ConversationSurveyed, true
	}
	return name, slices.Contains(EventTypes(), name)
}

// Operational says whether a type tells of webhooks themselves. What becomes of a delivery of such a type is told to
// nobody, or two broken endpoints would tell each other of it for ever.
func Operational(eventType string) bool {
	return eventType == EndpointDisabled || eventType == DeliveryExhausted
}
