package workspace_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/workspace"
)

func FuzzRecordsAreReadBack(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"acme","name":"Acme","timeZone":"UTC","status":"ACTIVE"}`))
	f.Add([]byte(`{"v":1,"id":"k","workspace":"acme","hash":"h","scopes":["read"],"expiresAt":"2026-01-02T03:04:05Z","rateLimitPerSecond":0.5}`))
	f.Add([]byte(`{"v":99}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if ws, err := workspace.ParseWorkspace(value); err == nil {
			again, err := workspace.ParseWorkspace(marshal(t, ws))
			if diff := cmp.Diff(ws, again); diff != "" || err != nil {
				t.Errorf("%v (-first +again):\n%s", err, diff)
			}
		}
		if key, err := workspace.ParseAPIKey(value); err == nil {
			again, err := workspace.ParseAPIKey(marshal(t, key))
			if diff := cmp.Diff(key, again); diff != "" || err != nil {
				t.Errorf("%v (-first +again):\n%s", err, diff)
			}
		}
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
