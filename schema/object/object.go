package object

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits of an object. Each is named in the error of what exceeds it.
const (
	MaxRelations      = 50
	MaxNameLength     = 256      // code points
	MaxObjectBytes    = 32 << 10 // of a request body
	MaxPayloadDepth   = 128      // levels of nesting in attributes and payloads
	MaxExternalLength = MaxIDLength
)

// Ref names one object of a workspace.
type Ref struct {
	Type Type   `json:"objectType"`
	ID   string `json:"objectId"`
}

// Lookup names an object by its id, or by the id it has in the caller's own system.
type Lookup struct {
	Type       Type   `json:"objectType"`
	ID         string `json:"objectId,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
}

// Object is an object in the clear: what a PUT carries and a GET answers.
type Object struct {
	Type       Type            `json:"objectType"`
	ID         string          `json:"objectId"`
	ExternalID string          `json:"externalId,omitempty"`
	Name       string          `json:"name,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Relations  []Lookup        `json:"relations,omitempty"`
	UpdatedAt  time.Time       `json:"updatedAt"`
}

// Ref is the object's identity.
func (o *Object) Ref() Ref { return Ref{Type: o.Type, ID: o.ID} }

// Violation is one broken rule: where (a JSON pointer into the body) and what.
type Violation struct {
	Pointer string
	Detail  string
}

// Validate lists every rule that the object breaks. Types must be canonical already.
func (o *Object) Validate() []Violation {
	var v []Violation
	if err := ValidateID(o.ID); err != nil {
		v = append(v, Violation{"/objectId", err.Error()})
	}
	if o.ExternalID != "" {
		if err := ValidateID(o.ExternalID); err != nil {
			v = append(v, Violation{"/externalId", err.Error()})
		}
	}
	if n := utf8.RuneCountInString(o.Name); n > MaxNameLength {
		v = append(v, Violation{"/name", fmt.Sprintf("has %d code points; at most %d are allowed", n, MaxNameLength)})
	}
	if len(o.Attributes) > 0 {
		if o.Attributes[0] != '{' {
			v = append(v, Violation{"/attributes", "must be a JSON object"})
		} else if d := Depth(o.Attributes); d > MaxPayloadDepth {
			v = append(v, Violation{"/attributes", fmt.Sprintf("is nested %d levels deep; at most %d are allowed", d, MaxPayloadDepth)})
		}
	}
	return append(v, ValidateLookups("/relations", o.Relations, MaxRelations)...)
}

// ValidateLookups checks a list of references: at most limit of them, each with a type and an id or external id.
func ValidateLookups(pointer string, refs []Lookup, limit int) []Violation {
	var v []Violation
	if len(refs) > limit {
		v = append(v, Violation{pointer, fmt.Sprintf("has %d items; at most %d are allowed", len(refs), limit)})
	}
	for i, r := range refs {
		if i >= limit {
			break
		}
		at := fmt.Sprintf("%s/%d", pointer, i)
		if r.Type == "" {
			v = append(v, Violation{at + "/objectType", "is required"})
		}
		v = append(v, ValidateIdentity(at, r.ID, r.ExternalID)...)
	}
	return v
}

// ValidateIdentity checks that one of objectId and externalId is there, and that both are ids.
func ValidateIdentity(pointer, id, externalID string) []Violation {
	if id == "" && externalID == "" {
		return []Violation{{pointer + "/objectId", "is required where externalId is absent"}}
	}
	var v []Violation
	if id != "" {
		if err := ValidateID(id); err != nil {
			v = append(v, Violation{pointer + "/objectId", err.Error()})
		}
	}
	if externalID != "" {
		if err := ValidateID(externalID); err != nil {
			v = append(v, Violation{pointer + "/externalId", err.Error()})
		}
	}
	return v
}

// Depth is the number of levels of nesting of a syntactically valid JSON value; 0 for a scalar.
func Depth(raw []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
