package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

// patch is a JSON Merge Patch (RFC 7396) of an object: members it names are set, null clears, attributes are merged
// level by level, arrays are replaced as a whole.
type patch struct {
	named      map[string]json.RawMessage
	body       objectBody
	relations  []object.Lookup
	externalID string
}

// decodePatch reads a patch. Members that an object does not have are refused even where they are null: a misspelt name
// must not vanish.
func decodePatch(data []byte, ref object.Ref) (*patch, *problem.Problem) {
	p := &patch{}
	if err := web.DecodeJSON(data, &p.body); err != nil {
		return nil, problem.From(err)
	}
	if err := web.DecodeJSON(data, &p.named); err != nil {
		return nil, problem.From(err)
	}
	broken := p.body.identity(ref)
	relations, bad := lookups("/relations", p.body.Relations, object.MaxRelations)
	p.relations, p.externalID = relations, p.body.ExternalID
	// The rules that concern the patch alone are checked before it waits for anything; the depth bounds the merge.
	alone := object.Object{
		Type: ref.Type, ID: ref.ID, ExternalID: p.externalID, Name: p.body.Name,
		Attributes: present(p.body.Attributes), Relations: relations,
	}
	return p, faults(append(append(broken, bad...), alone.Validate()...))
}

// apply makes the next state of an object.
func (p *patch) apply(now *object.Object) (*object.Object, error) {
	next := *now
	if _, ok := p.named["externalId"]; ok {
		next.ExternalID = p.externalID
	}
	if _, ok := p.named["name"]; ok {
		next.Name = p.body.Name
	}
	if _, ok := p.named["relations"]; ok {
		next.Relations = p.relations
	}
	if _, ok := p.named["attributes"]; ok {
		next.Attributes = nil
		if changes := present(p.body.Attributes); changes != nil {
			merged, err := merge(now.Attributes, changes)
			if err != nil {
				return nil, err
			}
			next.Attributes = merged
		}
	}
	// One patch is bounded by its body; many of them must be bounded too.
	if len(next.Attributes) > object.MaxObjectBytes {
		return nil, problem.Newf(problem.TooLarge, "The attributes would be larger than %s after this patch.", web.Size(object.MaxObjectBytes))
	}
	if refused := faults(next.Validate()); refused != nil {
		return nil, refused
	}
	return &next, nil
}

// member is one member of a JSON object, its value as it was written.
type member struct {
	name  string
	value jsontext.Value
}

// merge applies a merge patch to a JSON value. Values that the patch does not touch keep their bytes, members their order.
func merge(target, patch []byte) ([]byte, error) {
	if jsontext.Value(patch).Kind() != jsontext.KindBeginObject {
		return patch, nil
	}
	changes, err := members(patch)
	if err != nil {
		return nil, err
	}
	var have []member
	if len(target) > 0 && jsontext.Value(target).Kind() == jsontext.KindBeginObject {
		if have, err = members(target); err != nil {
			return nil, err
		}
	}
	for _, c := range changes {
		if have, err = mergeMember(have, c); err != nil {
			return nil, err
		}
	}
	return compose(have)
}

func mergeMember(have []member, c member) ([]member, error) {
	i := 0
	for i < len(have) && have[i].name != c.name {
		i++
	}
	if c.value.Kind() == jsontext.KindNull {
		if i < len(have) {
			return append(have[:i], have[i+1:]...), nil
		}
		return have, nil
	}
	if i == len(have) {
		have = append(have, member{name: c.name})
	}
	value, err := merge(have[i].value, c.value)
	have[i].value = value
	return have, err
}

// members takes a JSON object apart.
func members(raw []byte) ([]member, error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := d.ReadToken(); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	var out []member
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("read member: %w", err)
		}
		m := member{name: name.String()}
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read member: %w", err)
		}
		m.value = value.Clone()
		out = append(out, m)
	}
	return out, nil
}

// compose writes a JSON object.
func compose(all []member) ([]byte, error) {
	out := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			out = append(out, ',')
		}
		quoted, err := jsontext.AppendQuote(out, m.name)
		if err != nil {
			return nil, fmt.Errorf("write member: %w", err)
		}
		out = append(append(quoted, ':'), m.value...)
	}
	return append(out, '}'), nil
}
