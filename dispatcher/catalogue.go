package dispatcher

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/event"
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

// Schemas of data. They are JSON Schema 2020-12; what the API answers elsewhere is referred to in its document.
const (
	linkedSchema = `{"type":"object","required":["event","links"],"properties":{` +
		`"event":{"$ref":"#/$defs/TimelineRow","required":["externalId"],"properties":{"kind":{"const":"event"},` +
		`"link":{"const":"primary"},"externalId":{"type":["string","null"]}}},` +
		`"links":{"type":"array","minItems":1,"items":{"type":"object","required":["objectType","objectId","link"],"properties":{` +
		`"objectType":{"$ref":"#/$defs/ObjectType"},"objectId":{"type":"string"},"link":{"enum":["primary","related"]},` +
		`"via":{"type":"array","items":{"$ref":"#/$defs/Ref"}}}}}}}`
	transitionSchema = `{"type":"object","required":["conversation","transition"],"properties":{` +
		`"conversation":{"$ref":"#/$defs/Conversation"},"transition":{"$ref":"#/$defs/ShownTransition",` +
		`"properties":{"type":{"const":"%s"}}}}}`
	queueSchema = `{"type":"object","required":["queue","cause"],"properties":{"queue":{"type":"object",` +
		`"required":["team","size","threshold"],"properties":{"team":{"type":["string","null"]},` +
		`"size":{"type":"integer","minimum":0},"threshold":{"type":"integer","minimum":1}}},` +
		`"cause":{"type":"object","required":["conversationId","version","type"],"properties":{` +
		`"conversationId":{"type":"string"},"version":{"type":"integer","minimum":1},"type":{"type":"string"}}}}}`
	disabledSchema = `{"type":"object","required":["endpoint"],"properties":{"endpoint":{"type":"object",` +
		`"required":["id","reason","disabledAt"],"properties":{"id":{"type":"string"},"reason":{"enum":["gone","failing"]},` +
		`"disabledAt":{"$ref":"#/$defs/Time"},"failingSince":{"type":["string","null"]}}}}}`
	exhaustedSchema = `{"type":"object","required":["delivery"],"properties":{"delivery":{"type":"object",` +
		`"required":["id","endpoint","type","subject","event","attempts","outcome"],"properties":{"id":{"type":"string"},` +
		`"endpoint":{"type":"string"},"type":{"type":"string"},"subject":{"type":"object","required":["objectType","objectId"]},` +
		`"event":{"type":"string"},"attempts":{"type":"integer","minimum":1},"outcome":{"type":"string"}}}}}`
)

// bodySchema is the schema of a whole body.
const bodySchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",` +
	`"required":["type","timestamp","data"],"properties":{"type":{"const":"%s"},"timestamp":{"$ref":"#/$defs/Time"},"data":%s},"$defs":%s}`

// tells says what a type of event tells, and what its data is like.
func tells(name string) (description, schema string) {
	switch name {
	case webhook.EventLinked:
		return "An event is on the timelines of its objects.", linkedSchema
	case webhook.ConversationOpened:
		description = "A conversation has begun."
	case webhook.ConversationQueued:
		description = "A conversation came into the queue."
	case webhook.ConversationBroadcasted:
		description = "A conversation was offered to one or several agents."
	case webhook.ConversationAssigned:
		description = `A proactive conversation was assigned to an agent; with assignedScope "all", any conversation was.`
	case webhook.ConversationResponded:
		description = "An agent or a bot has responded to a conversation for the first time."
	case webhook.ConversationTransferred:
		description = "A conversation was given to another agent or team, or back to the queue."
	case webhook.ConversationLabeled:
		description = "A conversation got other labels."
	case webhook.ConversationSurveyed:
		description = "A conversation was rated or commented on. conversation.rated names it too."
	case webhook.ConversationClosed:
		description = "A conversation has ended."
	case webhook.QueueFormed:
		return "The queue of a team has grown to queueThreshold.", queueSchema
	case webhook.QueueCleared:
		return "The queue of a team has shrunk below queueThreshold.", queueSchema
	case webhook.EndpointDisabled:
		return "Another endpoint of the workspace was given up: it answered 410, or it failed for five days.", disabledSchema
	case webhook.DeliveryExhausted:
		return "A delivery to another endpoint of the workspace failed for good.", exhaustedSchema
	default:
		return "", ""
	}
	return description, fmt.Sprintf(transitionSchema, strings.TrimPrefix(name, "conversation."))
}

// newCatalogue lists the types of events that this version tells of, with what their bodies look like.
func newCatalogue() ([]eventType, error) {
	document, err := api.Load()
	if err != nil {
		return nil, err
	}
	shown, err := examples()
	if err != nil {
		return nil, err
	}
	var all []eventType
	for _, name := range webhook.EventTypes() {
		description, data := tells(name)
		uses := []string{"Time"}
		for _, used := range []string{"Conversation", "ObjectType", "Ref", "ShownTransition", "TimelineRow"} {
			if strings.Contains(data, `"#/$defs/`+used+`"`) {
				uses = append(uses, used)
			}
		}
		defs, err := document.Definitions(uses...)
		if err != nil {
			return nil, err
		}
		all = append(all, eventType{
			Type: name, Description: description, Schema: json.RawMessage(fmt.Sprintf(bodySchema, name, data, defs)), Example: shown[name],
		})
	}
	return all, nil
}

func (s *Service) listEventTypes(w http.ResponseWriter, r *http.Request) error {
	if err := web.Query(r).Err(); err != nil {
		return err
	}
	all, err := s.catalogue()
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, web.Page[eventType]{Data: all, AsOf: event.TimeOf(s.now())})
}
