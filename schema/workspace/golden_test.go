package workspace_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest/golden"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/workspace"
)

func TestGoldenWorkspacesAreStillRead(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	wants := map[string]workspace.Workspace{
		"workspace": {
			Version: 1, ID: "acme", Name: "Acme Ltd", TimeZone: "Europe/Berlin", Status: workspace.Active, CreatedAt: at, UpdatedAt: at,
		},
		"workspace-suspended": {
			Version: 1, ID: "gone-9", TimeZone: "UTC", Status: workspace.Suspended, CreatedAt: at, UpdatedAt: at.Add(time.Hour),
		},
	}
	for name, want := range wants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := golden.Read(t, name, func() golden.Record {
				return golden.Of(topic.Workspaces, topic.Key(want.ID),
					&topic.Envelope{ID: want.ID, Type: topic.TypeWorkspace, Workspace: want.ID, Time: want.UpdatedAt}, encode(t, want))
			})
			got, err := workspace.ParseWorkspace(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("workspace (-want +got):\n%s", diff)
			}
			if record.Key != want.ID {
				t.Errorf("key: got %s, want %s", record.Key, want.ID)
			}
		})
	}
}

func TestGoldenAPIKeysAreStillRead(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	end := at.AddDate(1, 0, 0)
	limit := 12.5
	wants := map[string]workspace.APIKey{
		"api-key": {
			Version: 1, ID: "018f0000-0000-7000-8000-000000000001", Workspace: "acme", Name: "every scope", Scopes: workspace.Scopes(),
			Hash: workspace.HashKey("tlk_golden_secret_of_acme"), CreatedAt: at,
		},
		"api-key-expiring": {
			Version: 1, ID: "018f0000-0000-7000-8000-000000000002", Workspace: "acme", Name: "screen",
			Scopes: []workspace.Scope{workspace.WallboardRead}, Hash: workspace.HashKey("tlk_golden_screen"), CreatedAt: at, ExpiresAt: &end,
		},
		"api-key-limited": {
			Version: 1, ID: "018f0000-0000-7000-8000-000000000003", Workspace: "acme", Name: "importer",
			Scopes: []workspace.Scope{workspace.EventsWrite}, Hash: workspace.HashKey("tlk_golden_importer"), CreatedAt: at, RateLimit: &limit,
		},
	}
	for name, want := range wants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := golden.Read(t, name, func() golden.Record {
				return golden.Of(topic.Workspaces, topic.Key(want.Workspace, workspace.KeyType, want.ID),
					&topic.Envelope{ID: want.ID, Type: topic.TypeAPIKey, Workspace: want.Workspace, Time: at}, encode(t, want))
			})
			got, err := workspace.ParseAPIKey(record.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("key (-want +got):\n%s", diff)
			}
			if wantKey := "acme/KEY/" + want.ID; record.Key != wantKey {
				t.Errorf("key: got %s, want %s", record.Key, wantKey)
			}
		})
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
