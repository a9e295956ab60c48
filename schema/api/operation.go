package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Operation is one method of one path.
type Operation struct {
	ID, Method, Path, Tag, Summary, Description string
	// Security lists what opens the operation; any one of them does. It is empty where no key is needed.
	Security   []Requirement
	Parameters []Parameter
	// Body is nil where the operation takes none.
	Body      *Body
	Responses []Response
}

// Requirement is a kind of key, with the scopes of which one is needed.
type Requirement struct {
	Scheme string
	Scopes []string
}

// Parameter is a parameter of the path, the query or the header.
type Parameter struct {
	Name, In, Description string
	Required              bool
	Schema                Schema
	// Examples are the values of its example: several where it may be repeated.
	Examples []string
	// Repeated says that it may be given several times.
	Repeated bool
}

// Body is what a request carries.
type Body struct {
	Description string
	Content     []Media
}

// Media is a form that a body has.
type Media struct {
	Type     string
	Schema   Schema
	Examples []Sample
}

// Sample is an example of a body, as bytes of its media type.
type Sample struct {
	Name, Summary string
	Value         []byte
}

// Response is one status of an operation.
type Response struct {
	Status      int
	Description string
	Headers     []Header
	Content     []Media
}

// Header is a header of a response.
type Header struct {
	Name, Description string
	Required          bool
	Schema            Schema
}

// Schema is a place in the document that holds a JSON Schema; its pointer finds it.
type Schema struct{ node }

// Pointer is where the schema stands in the document, as a JSON Pointer; empty where there is none.
func (s Schema) Pointer() string {
	if !s.exists() {
		return ""
	}
	return s.pointer
}

// methods are the members of a path that are operations.
func methods() []string { return []string{"get", "put", "post", "patch", "delete"} }

// read makes the operations of the document.
func (d *Document) read() error {
	info := d.root.get("info")
	d.Title, d.Description = info.get("title").text(), info.get("description").text()
	for _, tag := range d.root.get("tags").items() {
		d.Tags = append(d.Tags, Tag{tag.get("name").text(), tag.get("description").text()})
	}
	for _, path := range d.root.get("paths").members() {
		shared := path.get("parameters").items()
		for _, op := range path.members() {
			if !slices.Contains(methods(), op.name) {
				continue
			}
			o, err := readOperation(op, path.name, shared)
			if err != nil {
				return fmt.Errorf("read %s %s of the API's document: %w", op.name, path.name, err)
			}
			d.Operations = append(d.Operations, o)
		}
	}
	return nil
}

func readOperation(n named, path string, shared []node) (*Operation, error) {
	o := &Operation{
		ID: n.get("operationId").text(), Method: strings.ToUpper(n.name), Path: path, Tag: n.get("tags").items()[0].text(),
		Summary: n.get("summary").text(), Description: n.get("description").text(),
	}
	for _, alternative := range n.get("security").items() {
		for _, scheme := range alternative.members() {
			o.Security = append(o.Security, Requirement{scheme.name, scheme.texts()})
		}
	}
	for _, item := range slices.Concat(shared, n.get("parameters").items()) {
		p, err := readParameter(item)
		if err != nil {
			return nil, err
		}
		o.Parameters = append(o.Parameters, p)
	}
	if body := n.get("requestBody"); body.exists() {
		content, err := readContent(body)
		if err != nil {
			return nil, err
		}
		o.Body = &Body{body.get("description").text(), content}
	}
	for _, response := range n.get("responses").members() {
		r, err := readResponse(response)
		if err != nil {
			return nil, err
		}
		o.Responses = append(o.Responses, r)
	}
	return o, nil
}

func readParameter(n node) (Parameter, error) {
	n, err := n.resolve()
	if err != nil {
		return Parameter{}, err
	}
	p := Parameter{
		Name: n.get("name").text(), In: n.get("in").text(), Description: n.get("description").text(),
		Required: n.get("required").text() == "true", Schema: Schema{n.get("schema")}, Examples: n.get("example").texts(),
	}
	p.Repeated = p.Schema.get("type").text() == "array"
	return p, nil
}

func readResponse(n named) (Response, error) {
	status, err := strconv.Atoi(n.name)
	if err != nil {
		return Response{}, fmt.Errorf("response %s has no status", n.name)
	}
	to, err := n.resolve()
	if err != nil {
		return Response{}, err
	}
	r := Response{Status: status, Description: to.get("description").text()}
	for _, header := range to.get("headers").members() {
		h, err := header.resolve()
		if err != nil {
			return Response{}, err
		}
		r.Headers = append(r.Headers, Header{
			Name: header.name, Description: h.get("description").text(), Required: h.get("required").text() == "true",
			Schema: Schema{h.get("schema")},
		})
	}
	r.Content, err = readContent(to)
	return r, err
}

func readContent(n node) ([]Media, error) {
	var all []Media
	for _, media := range n.get("content").members() {
		m := Media{Type: media.name, Schema: Schema{media.get("schema")}}
		for _, example := range media.get("examples").members() {
			value, err := sampleValue(m.Type, example.get("value"))
			if err != nil {
				return nil, err
			}
			m.Examples = append(m.Examples, Sample{example.name, example.get("summary").text(), value})
		}
		if example := media.get("example"); example.exists() {
			value, err := sampleValue(m.Type, example)
			if err != nil {
				return nil, err
			}
			m.Examples = append(m.Examples, Sample{Value: value})
		}
		all = append(all, m)
	}
	return all, nil
}

// sampleValue writes an example as it travels: JSON, or a text as it is.
func sampleValue(media string, n node) ([]byte, error) {
	if !strings.HasSuffix(media, "json") || media == "application/x-ndjson" {
		return []byte(n.text()), nil
	}
	return n.json()
}

// Response finds a status of the operation.
func (o *Operation) Response(status int) (Response, bool) {
	i := slices.IndexFunc(o.Responses, func(r Response) bool { return r.Status == status })
	if i < 0 {
		return Response{}, false
	}
	return o.Responses[i], true
}

// Shared reads a response of the components, such as that of a path that is not there.
func (d *Document) Shared(name string, status int) (Response, error) {
	n := d.root.get("components").get("responses").get(name)
	return readResponse(named{strconv.Itoa(status), n})
}
