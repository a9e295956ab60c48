package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/throughline/throughline/schema/problem"
)

// node is a place in the document. The zero node is one that is not there; everything may be asked of it.
type node struct {
	yaml *yaml.Node
	root *yaml.Node
	// pointer is where it stands, as a JSON Pointer.
	pointer string
}

// member finds a member of a mapping, or nil.
func member(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

func (n node) exists() bool { return n.yaml != nil }

// get is a member of a mapping.
func (n node) get(name string) node {
	return node{member(n.yaml, name), n.root, n.pointer + "/" + problem.Token(name)}
}

// text is a scalar as it is written, or empty.
func (n node) text() string {
	if n.yaml == nil || n.yaml.Kind != yaml.ScalarNode || n.yaml.ShortTag() == "!!null" {
		return ""
	}
	return n.yaml.Value
}

// named is a member of a mapping with its name.
type named struct {
	name string
	node
}

// members are those of a mapping, in order.
func (n node) members() []named {
	if n.yaml == nil || n.yaml.Kind != yaml.MappingNode {
		return nil
	}
	var all []named
	for i := 0; i+1 < len(n.yaml.Content); i += 2 {
		name := n.yaml.Content[i].Value
		all = append(all, named{name, node{n.yaml.Content[i+1], n.root, n.pointer + "/" + problem.Token(name)}})
	}
	return all
}

// items are those of a sequence.
func (n node) items() []node {
	if n.yaml == nil || n.yaml.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]node, len(n.yaml.Content))
	for i, item := range n.yaml.Content {
		all[i] = node{item, n.root, fmt.Sprintf("%s/%d", n.pointer, i)}
	}
	return all
}

// texts are the scalars of a sequence, or the one of a scalar.
func (n node) texts() []string {
	if t := n.text(); t != "" {
		return []string{t}
	}
	var all []string
	for _, item := range n.items() {
		all = append(all, item.text())
	}
	return all
}

// resolve follows a reference to where it leads.
func (n node) resolve() (node, error) {
	ref := n.get("$ref").text()
	if ref == "" {
		return n, nil
	}
	path, ok := strings.CutPrefix(ref, "#/")
	to := node{yaml: n.root, root: n.root}
	for token := range strings.SplitSeq(path, "/") {
		to = to.get(strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	if !ok || !to.exists() {
		return node{}, fmt.Errorf("%s refers to %s, which is not there", n.pointer, ref)
	}
	return to.resolve()
}

// json writes the value as JSON, its members in the order of the document.
func (n node) json() ([]byte, error) {
	var b bytes.Buffer
	if err := n.appendJSON(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (n node) appendJSON(b *bytes.Buffer) error {
	switch n.yaml.Kind {
	case yaml.MappingNode:
		for i, m := range n.members() {
			b.WriteByte("{,"[min(i, 1)])
			if err := appendValue(b, m.name); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := m.appendJSON(b); err != nil {
				return err
			}
		}
		if len(n.yaml.Content) == 0 {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.items() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.appendJSON(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		var v any
		if err := n.yaml.Decode(&v); err != nil {
			return fmt.Errorf("read %s of the API's document: %w", n.pointer, err)
		}
		return appendValue(b, v)
	}
	return nil
}

func appendValue(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the API's document: %w", err)
	}
	b.Truncate(b.Len() - 1) // the encoder ends every value with a line break
	return nil
}
