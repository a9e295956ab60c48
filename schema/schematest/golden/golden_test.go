package golden_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/topic"
)

func TestEveryTopicHasAGoldenRecord(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "*", golden.Folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[topic.Name]int{}
	for _, f := range files {
		r := golden.ReadFile(t, f)
		found[r.Topic]++
		if r.Key == "" {
			t.Errorf("%s has no key", f)
		}
		if r.Value != nil && r.Header(topic.HeaderType) == "" && r.Header("producer") == "" {
			t.Errorf("%s does not say of what type it is", f)
		}
	}
	for _, spec := range topic.All() {
		name := spec.Name
		if strings.HasPrefix(string(name), "webhook-retries-") {
			name = topic.WebhookDeliveries // what waits there is a delivery
		}
		if found[name] == 0 {
			t.Errorf("no golden record of topic %s", spec.Name)
		}
	}
}
