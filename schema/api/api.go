// Package api holds the description of the HTTP API: one OpenAPI document, written by hand in the files of the folder
// openapi, which programs read as YAML or JSON and people as a page. What it says is tested against the services in both
// directions: see package contract, and deploy/contract.
//
// A part of the API has a file of its own there, with its paths and schemas; a new file only has to be put into the
// folder and into parts.
package api

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

//go:embed openapi/*.yaml
var files embed.FS

// parts are the files of the document, in the order in which their paths are shown. The first one has what is the
// document's own.
func parts() []string {
	return []string{
		"main", "events", "objects", "conversations", "reading", "wallboard", "webhooks", "administration", "operations", "common",
	}
}

// Document is the description of the API. It does not change, and is safe for concurrent use.
type Document struct {
	// YAML and JSON are the whole document.
	YAML, JSON []byte
	// Title and Description are those of the API; descriptions are in Markdown.
	Title, Description string
	// Tags are the chapters, in order.
	Tags []Tag
	// Operations are in the order in which they are shown.
	Operations []*Operation

	root node
}

// Tag is a chapter of the document.
type Tag struct{ Name, Description string }

// Load reads the document. An error is a mistake in its files, which a test finds before anybody else does.
func Load() (*Document, error) {
	var root *yaml.Node
	for _, part := range parts() {
		data, err := files.ReadFile("openapi/" + part + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("read part %s of the API's document: %w", part, err)
		}
		next, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("read part %s of the API's document: %w", part, err)
		}
		if root == nil {
			root = next
			continue
		}
		if err := join(root, next, ""); err != nil {
			return nil, fmt.Errorf("join part %s of the API's document: %w", part, err)
		}
	}
	d := &Document{root: node{yaml: root}}
	d.root.root = root
	if err := d.write(); err != nil {
		return nil, err
	}
	return d, d.read()
}

// parse reads one file and puts the values of its aliases in their place: many readers of OpenAPI know none.
func parse(data []byte) (*yaml.Node, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Kind != yaml.DocumentNode || len(file.Content) != 1 {
		return nil, errors.New("it is not one YAML document")
	}
	root := file.Content[0]
	expand(root)
	return root, nil
}

func expand(n *yaml.Node) {
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			n.Content[i] = clone(child.Alias)
		}
		expand(n.Content[i])
	}
	n.Anchor = ""
}

func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			child = child.Alias
		}
		c.Content[i] = clone(child)
	}
	return &c
}

// join adds the members of a mapping to another. A name that both have must be a mapping in both.
func join(into, from *yaml.Node, pointer string) error {
	for i := 0; i+1 < len(from.Content); i += 2 {
		name, value := from.Content[i], from.Content[i+1]
		have := member(into, name.Value)
		at := pointer + "/" + name.Value
		switch {
		case have == nil:
			into.Content = append(into.Content, name, value)
		case have.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode && mayJoin(pointer):
			if err := join(have, value, at); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is there twice", at)
		}
	}
	return nil
}

// mayJoin says whether members of the same name are joined below a pointer: paths, components and the groups of
// components are; what is in them has one file.
func mayJoin(pointer string) bool { return slices.Contains([]string{"", "/components"}, pointer) }

// write makes the two forms of the document.
func (d *Document) write() error {
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(d.root.yaml); err != nil {
		return fmt.Errorf("write the API's document: %w", err)
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("write the API's document: %w", err)
	}
	d.YAML = text.Bytes()
	var err error
	d.JSON, err = d.root.json()
	return err
}
