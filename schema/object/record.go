package object

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RecordVersion is the version of Record's form. A reader refuses a greater one.
const RecordVersion = 1

// Record is the latest state of an object as it stands in the topic objects. What identifies and links it is plain;
// what is personal is sealed with a data key of the object (package seal). Its key is workspace/TYPE/id; a record
// without a value means that the object is gone.
type Record struct {
	Version   int    `json:"v"`
	Workspace string `json:"workspace"`
	Type      Type   `json:"objectType"`
	ID        string `json:"objectId"`
	// ExternalToken stands for the external id: a keyed hash, by which it can be looked up without being known.
	ExternalToken string     `json:"externalToken,omitempty"`
	Relations     []Relation `json:"relations,omitempty"`
	UpdatedAt     time.Time  `json:"updatedAt"`
	KeyID         string     `json:"keyId,omitempty"`
	// Sealed is a Personal.
	Sealed []byte `json:"sealed,omitempty"`
}

// Relation is a directed relation from the object that holds it to another.
type Relation struct {
	Type          Type   `json:"objectType"`
	ID            string `json:"objectId,omitempty"`
	ExternalToken string `json:"externalToken,omitempty"`
}

// Personal is the sealed part of a Record. Attributes is a JSON text held as a string, because a raw value would be
// reformatted when the record is written.
type Personal struct {
	ExternalID string `json:"externalId,omitempty"`
	Name       string `json:"name,omitempty"`
	Attributes string `json:"attributes,omitempty"`
	// RelationExternalIDs has one entry for each of Record.Relations, empty where that names an object id only.
	RelationExternalIDs []string `json:"relationExternalIds,omitempty"`
}

// ParseRecord reads a record's value. It ignores members that it does not know.
func ParseRecord(value []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("parse object record: %w", err)
	}
	if r.Version < 1 || r.Version > RecordVersion {
		return nil, fmt.Errorf("parse object record: version %d is not known, the newest known is %d", r.Version, RecordVersion)
	}
	if r.Workspace == "" || r.Type == "" || r.ID == "" {
		return nil, errors.New("parse object record: workspace, objectType and objectId are required")
	}
	return &r, nil
}

// AdditionalData binds the sealed part to the object and to its place in the log, so that it cannot be moved into
// another record.
func (r *Record) AdditionalData() []byte {
	return fmt.Appendf(nil, "object\x00%s\x00%s\x00%s", r.Workspace, r.Type, r.ID)
}

// Open makes the object in the clear from a record and its opened personal part; p is nil where that was erased.
func (r *Record) Open(p *Personal) *Object {
	o := &Object{Type: r.Type, ID: r.ID, UpdatedAt: r.UpdatedAt}
	if p != nil {
		o.ExternalID, o.Name = p.ExternalID, p.Name
		if p.Attributes != "" {
			o.Attributes = json.RawMessage(p.Attributes)
		}
	}
	for i, rel := range r.Relations {
		l := Lookup{Type: rel.Type, ID: rel.ID}
		if p != nil && i < len(p.RelationExternalIDs) {
			l.ExternalID = p.RelationExternalIDs[i]
		}
		o.Relations = append(o.Relations, l)
	}
	return o
}
