package ingest

import (
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// objectBody is the body of a PUT: what may be set, and what a GET shows beside it, so that an answer can be sent back.
type objectBody struct {
	ExternalID string          `json:"externalId"`
	Name       string          `json:"name"`
	Attributes json.RawMessage `json:"attributes"`
	Relations  []lookupBody    `json:"relations"`
	// ObjectType and ObjectID must be those of the path.
	ObjectType string `json:"objectType"`
	ObjectID   string `json:"objectId"`
	// UpdatedAt and Position are ignored.
	UpdatedAt json.RawMessage `json:"updatedAt"`
	Position  json.RawMessage `json:"position"`
}

// decodeObject reads the body of a PUT.
func decodeObject(data []byte, ref object.Ref) (*object.Object, *problem.Problem) {
	var b objectBody
	if err := web.DecodeJSON(data, &b); err != nil {
		return nil, problem.From(err)
	}
	o := &object.Object{
		Type: ref.Type, ID: ref.ID, ExternalID: b.ExternalID, Name: b.Name, Attributes: present(b.Attributes),
	}
	broken := b.identity(ref)
	relations, bad := lookups("/relations", b.Relations, object.MaxRelations)
	o.Relations = relations
	return o, faults(append(append(broken, bad...), o.Validate()...))
}

// identity lists where the read-only identity in a body contradicts the path.
func (b *objectBody) identity(ref object.Ref) []object.Violation {
	var broken []object.Violation
	if b.ObjectType != "" {
		if t, err := object.ParseType(b.ObjectType); err != nil || t != ref.Type {
			broken = append(broken, object.Violation{Pointer: "/objectType", Detail: fmt.Sprintf("must be %s as in the path, or absent", ref.Type)})
		}
	}
	if b.ObjectID != "" && b.ObjectID != ref.ID {
		broken = append(broken, object.Violation{Pointer: "/objectId", Detail: "must be that of the path, or absent"})
	}
	return broken
}

// lookups makes references canonical and lists those whose type is none. Beyond the limit they are not looked at: their
// number is refused elsewhere.
func lookups(pointer string, from []lookupBody, limit int) ([]object.Lookup, []object.Violation) {
	var refs []object.Lookup
	var broken []object.Violation
	for i, l := range from {
		ref := object.Lookup{Type: object.Type(l.ObjectType), ID: l.ObjectID, ExternalID: l.ExternalID}
		if i < limit {
			broken = append(broken, canonical(fmt.Sprintf("%s/%d/objectType", pointer, i), l.ObjectType, &ref.Type)...)
		}
		refs = append(refs, ref)
	}
	return refs, broken
}
