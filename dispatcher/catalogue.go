package dispatcher

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/webhook"
)

// eventType is an entry of the catalogue.
type eventType struct {
	Type        string          `json:"type"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Example     json.RawMessage `json:"example"`
}

// The parts of the schemas. They are JSON Schema 2020-12.
const (
	schemaRef = `{"type":"object","properties":{"objectType":{"type":"string"},"objectId":{"type":"string"}},` +
		`"required":["objectType","objectId"]}`
	schemaTime   = `{"type":"string","format":"date-time"}`
	schemaString = `{"type":["string","null"]}`
)

// bodySchema wraps the schema of data into that of the whole body.
func bodySchema(eventType, data string) json.RawMessage {
	return json.RawMessage(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{` +
		`"type":{"const":"` + eventType + `"},"timestamp":` + schemaTime + `,"data":` + data + `},"required":["type","timestamp","data"]}`)
}

// exampleTime is the time of every example.
func exampleTime() event.Time { return event.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) }

// catalogue lists the types of events that this version tells of, with what their bodies look like.
func catalogue() ([]eventType, error) {
	linked, err := linkedBody(&event.Event{
		ID: "0195513a-8f00-7000-8000-000000000000", Type: object.Customer, ObjectID: "c19a7d78", Name: "Viewed an article",
		Source: "helpcenter", OccurredAt: exampleTime(), ReceivedAt: exampleTime(),
		Links: []event.Link{
			{Type: object.Customer, ID: "c19a7d78", Kind: event.LinkPrimary},
			{Type: object.Account, ID: "a77", Kind: event.LinkRelated, Via: []object.Ref{{Type: object.Customer, ID: "c19a7d78"}}},
		},
	}, &event.Personal{Description: "How does it work?", Icon: "📖", Payload: `{"company":"Atlas"}`})
	if err != nil {
		return nil, err
	}
	disabled, err := encodeBody(webhook.EndpointDisabled, exampleTime(), disabledData{disabledEndpoint{
		ID: "crm", Reason: webhook.ReasonFailing, DisabledAt: exampleTime(), FailingSince: event.TimeOf(exampleTime().Add(-giveUpAfter)),
	}})
	if err != nil {
		return nil, err
	}
	exhausted, err := encodeBody(webhook.DeliveryExhausted, exampleTime(), exhaustedData{exhaustedDelivery{
		ID: "msg_000102030405060708090a0b0c0d0e0f", Endpoint: "crm", Type: webhook.EventLinked,
		Subject: object.Ref{Type: object.Customer, ID: "c19a7d78"}, Event: "0195513a-8f00-7000-8000-000000000000",
		Attempts: len(schedule()) + 1, Outcome: webhook.OutcomeServerError,
	}})
	if err != nil {
		return nil, err
	}
	return []eventType{
		{
			Type: webhook.EventLinked, Description: "An event is on the timelines of its objects.",
			Schema: bodySchema(webhook.EventLinked, `{"type":"object","properties":{"event":{"type":"object","properties":{`+
				`"id":{"type":"string"},"kind":{"const":"event"},"name":{"type":"string"},"description":`+schemaString+
				`,"icon":`+schemaString+`,"source":`+schemaString+`,"occurredAt":`+schemaTime+`,"receivedAt":`+schemaTime+
				`,"primary":`+schemaRef+`,"link":{"const":"primary"},"via":{"type":"array"},"externalId":`+schemaString+
				`,"payload":{},"transition":{"type":"null"}},"required":["id","kind","name","occurredAt","receivedAt","primary"]},`+
				`"links":{"type":"array","items":{"type":"object","properties":{"objectType":{"type":"string"},`+
				`"objectId":{"type":"string"},"link":{"enum":["primary","related"]},"via":{"type":"array","items":`+schemaRef+
				`}},"required":["objectType","objectId","link"]}}},"required":["event","links"]}`),
			Example: linked,
		},
		{
			Type: webhook.EndpointDisabled, Description: "Another endpoint of the workspace was given up: it answered 410, or it failed for five days.",
			Schema: bodySchema(webhook.EndpointDisabled, `{"type":"object","properties":{"endpoint":{"type":"object","properties":{`+
				`"id":{"type":"string"},"reason":{"enum":["gone","failing"]},"disabledAt":`+schemaTime+
				`,"failingSince":{"type":["string","null"],"format":"date-time"}},"required":["id","reason","disabledAt"]}},"required":["endpoint"]}`),
			Example: disabled,
		},
		{
			Type: webhook.DeliveryExhausted, Description: "A delivery to another endpoint of the workspace failed for good.",
			Schema: bodySchema(webhook.DeliveryExhausted, `{"type":"object","properties":{"delivery":{"type":"object","properties":{`+
				`"id":{"type":"string"},"endpoint":{"type":"string"},"type":{"type":"string"},"subject":`+schemaRef+
				`,"event":{"type":"string"},"attempts":{"type":"integer"},"outcome":{"type":"string"}},`+
				`"required":["id","endpoint","type","attempts"]}},"required":["delivery"]}`),
			Example: exhausted,
		},
	}, nil
}

func (s *Service) listEventTypes(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	all, err := catalogue()
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, web.Page[eventType]{Data: all, AsOf: event.TimeOf(s.now())})
}
