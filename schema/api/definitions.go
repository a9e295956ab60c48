package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Where the schemas of components stand in the document, and in a schema that has them with it.
const (
	componentsRef = "#/components/schemas/"
	defsRef       = "#/$defs/"
)

// Definitions are the named schemas of components and those that they refer to, as the $defs of a JSON Schema that stands
// by itself: #/$defs/Name refers to them. So what is described elsewhere has the shape that the API's answers have.
func (d *Document) Definitions(names ...string) (json.RawMessage, error) {
	all := d.root.get("components").get("schemas")
	for i := 0; i < len(names); i++ {
		schema := all.get(names[i])
		if !schema.exists() {
			return nil, fmt.Errorf("the API's document has no schema %s", names[i])
		}
		for _, name := range schema.refers() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	names = slices.Sorted(slices.Values(names))
	var b bytes.Buffer
	for i, name := range names {
		b.WriteByte("{,"[min(i, 1)])
		if err := appendValue(&b, name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := all.get(name).appendJSON(&b); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return json.RawMessage(strings.ReplaceAll(b.String(), `"$ref":"`+componentsRef, `"$ref":"`+defsRef)), nil
}

// refers lists the schemas of components that are referred to in a value.
func (n node) refers() []string {
	var names []string
	for _, m := range n.members() {
		if name, ok := strings.CutPrefix(m.text(), componentsRef); ok && m.name == "$ref" {
			names = append(names, name)
		}
		names = append(names, m.refers()...)
	}
	for _, item := range n.items() {
		names = append(names, item.refers()...)
	}
	return names
}
