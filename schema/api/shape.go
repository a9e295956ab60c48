package api

import (
	"slices"
	"strconv"
	"strings"
)

// Field is one member of a schema, as a row of a table.
type Field struct {
	// Name is the path of the member: results[].index.
	Name        string
	Type        string
	Required    bool
	ReadOnly    bool
	Description string
}

// deepest is how many levels of members are shown.
const deepest = 4

// fields lists the members of a schema and of what is in them.
func (s Schema) fields() []Field { return s.append(nil, "", 0) }

func (s Schema) append(all []Field, prefix string, depth int) []Field {
	if depth > deepest {
		return all
	}
	target := s.target()
	// A schema beside a reference adds to it.
	for _, part := range []Schema{target, s} {
		required := part.get("required").texts()
		for _, m := range part.get("properties").members() {
			member := Schema{m.node}
			name := prefix + m.name
			if slices.ContainsFunc(all, func(f Field) bool { return f.Name == name }) {
				continue
			}
			all = append(all, Field{
				Name: name, Type: member.kind(), Required: slices.Contains(required, m.name), Description: member.description(),
				ReadOnly: member.get("readOnly").text() == "true",
			})
			if !member.isProblem() {
				all = member.append(all, name+".", depth+1)
			}
		}
		if part.pointer == s.pointer && target.pointer == s.pointer {
			break
		}
	}
	if items := target.get("items"); items.exists() {
		all = Schema{items}.append(all, strings.TrimSuffix(prefix, ".")+"[].", depth+1)
	}
	// The first alternative is the one to be used; further ones are a looser form of it.
	if first := target.get("anyOf").items(); len(first) > 0 && !target.get("properties").exists() {
		all = Schema{first[0]}.append(all, prefix, depth+1)
	}
	return all
}

// target is what the schema refers to, or itself. A reference that leads nowhere is found when the document is compiled.
func (s Schema) target() Schema {
	to, err := s.resolve()
	if err != nil {
		return s
	}
	return Schema{to}
}

func (s Schema) isProblem() bool { return strings.HasSuffix(s.get("$ref").text(), "/Problem") }

func (s Schema) description() string {
	if own := s.get("description").text(); own != "" {
		return own
	}
	return s.target().get("description").text()
}

// kind says in a few words what a value is.
func (s Schema) kind() string {
	if s.isProblem() {
		return "problem"
	}
	t := s.target()
	if !t.exists() {
		return "anything"
	}
	if c := t.get("const"); c.exists() {
		return "“" + strings.TrimSpace(c.text()) + "”"
	}
	if values := t.get("enum").items(); len(values) > 0 {
		return strings.Join(literals(values), " | ")
	}
	if parts := t.get("anyOf").items(); len(parts) > 0 && !t.get("properties").exists() {
		return alternatives(parts)
	}
	types := t.get("type").texts()
	if len(types) == 0 {
		return "anything"
	}
	for i, name := range types {
		switch name {
		case "array":
			types[i] = "array"
			if items := t.get("items"); items.exists() {
				types[i] = "array of " + Schema{items}.kind()
			}
		case "string":
			if t.get("format").text() == "date-time" {
				types[i] = "time"
			}
		}
	}
	return strings.Join(types, " | ") + t.bounds()
}

func literals(values []node) []string {
	var all []string
	for _, v := range values {
		switch text := v.text(); {
		case text != "":
			all = append(all, text)
		case v.yaml.ShortTag() == "!!null":
			all = append(all, "null")
		}
	}
	return all
}

func alternatives(parts []node) string {
	var all []string
	for _, part := range parts {
		// Nothing is said by "or anything".
		if kind := (Schema{part}).kind(); kind != "anything" && !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	return strings.Join(all, " | ")
}

// bounds names the limits of a value.
func (s Schema) bounds() string {
	var all []string
	add := func(name, before, after string) {
		// That a text or a list is not empty goes without saying where it is required.
		if v := s.get(name).text(); v != "" && (v != "1" || name == "minimum" || !strings.HasPrefix(name, "min")) {
			all = append(all, before+v+after)
		}
	}
	add("minLength", "from ", " code points")
	add("maxLength", "up to ", " code points")
	add("minItems", "from ", " items")
	add("maxItems", "up to ", " items")
	add("minimum", "from ", "")
	add("maximum", "to ", "")
	add("default", "default ", "")
	if len(all) == 0 {
		return ""
	}
	return ", " + strings.Join(all, ", ")
}

// ProblemType is a row of the list of problems.
type ProblemType struct {
	Type               string
	Status             int
	Title, Description string
}

// Problems lists the problem types that the document describes.
func (d *Document) Problems() []ProblemType {
	var all []ProblemType
	schema := d.root.get("components").get("schemas").get("Problem")
	for _, t := range schema.get("properties").get("type").get("oneOf").items() {
		status, _ := strconv.Atoi(t.get("x-status").text()) // a test compares it with the catalogue
		all = append(all, ProblemType{t.get("const").text(), status, t.get("title").text(), t.get("description").text()})
	}
	return all
}
