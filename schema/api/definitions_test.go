package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestDefinitionsStandByThemselves(t *testing.T) {
	t.Parallel()
	d := load(t)
	defs, err := d.Definitions("Conversation", "TimelineRow")
	if err != nil {
		t.Fatal(err)
	}
	// Compiling follows every reference.
	c := jsonschema.NewCompiler()
	text := `{"$ref":"#/$defs/Conversation","$defs":` + string(defs) + `}`
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("urn:test", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("urn:test")
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(map[string]any{"conversationId": "k1"}); err == nil {
		t.Error("a conversation that lacks most of its members is valid")
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(defs, &names); err != nil {
		t.Fatal(err)
	}
	// A person is not named above: the conversation refers to it over another schema.
	if names["Person"] == nil || names["ReportRow"] != nil {
		t.Errorf("the definitions are those of %d names", len(names))
	}
	if _, err := d.Definitions("Nobody"); err == nil {
		t.Error("a schema that is not there was found")
	}
}
