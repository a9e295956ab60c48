package dispatcher

import (
	"bytes"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/throughline/throughline/schema/webhook"
)

// schemas are those of the catalogue, by type.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	all, err := newCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, e := range all {
		text, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Schema))
		if err != nil {
			t.Fatalf("%s: the schema is no JSON: %v", e.Type, err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource("urn:"+e.Type, text); err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
		if compiled[e.Type], err = c.Compile("urn:" + e.Type); err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
	}
	return compiled
}

// conforms reports a body that is not as the catalogue says.
func conforms(t *testing.T, schema *jsonschema.Schema, body []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil && schema != nil {
		err = schema.Validate(value)
	}
	if err != nil || schema == nil {
		t.Errorf("%s is not as its schema says: %v", body, err)
	}
}

func TestTheCatalogueHasASchemaAndAnExampleOfEveryTypeThatIsServed(t *testing.T) {
	t.Parallel()
	all, err := newCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	compiled := schemas(t)
	var names []string
	for i, e := range all {
		names = append(names, e.Type)
		if e.Description == "" {
			t.Errorf("%s has no description", e.Type)
		}
		conforms(t, compiled[e.Type], e.Example)
		// The schemas tell the types apart.
		other, err := jsonschema.UnmarshalJSON(bytes.NewReader(all[(i+1)%len(all)].Example))
		if err != nil {
			t.Fatal(err)
		}
		if compiled[e.Type].Validate(other) == nil {
			t.Errorf("the example of another type is one of %s", e.Type)
		}
	}
	if !slices.Equal(names, webhook.EventTypes()) {
		t.Errorf("the catalogue has %v", names)
	}
}
