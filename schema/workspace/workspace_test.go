package workspace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/workspace"
)

func TestWorkspaceIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "acme-2", "0", strings.Repeat("a", 64)} {
		if err := workspace.ValidateID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "Acme", "a_b", "a/b", "a b", "ä", "a\n", strings.Repeat("a", 65)} {
		if workspace.ValidateID(id) == nil {
			t.Errorf("%q was taken for an id", id)
		}
	}
}

func TestWorkspaceValidateNamesEveryBrokenRule(t *testing.T) {
	t.Parallel()
	good := workspace.Workspace{ID: "acme", Name: "Acme", TimeZone: "Europe/Berlin", Status: workspace.Active}
	if v := good.Validate(); v != nil {
		t.Errorf("got %v, want nothing", v)
	}
	bad := workspace.Workspace{ID: "A", Name: strings.Repeat("n", 257), TimeZone: "Local", Status: "GONE"}
	if diff := cmp.Diff([]string{"/id", "/name", "/timeZone", "/status"}, pointers(bad.Validate())); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
	for _, zone := range []string{"", "Local", "Mars/Olympus", "../etc/passwd"} {
		w := good
		w.TimeZone = zone
		if diff := cmp.Diff([]string{"/timeZone"}, pointers(w.Validate())); diff != "" {
			t.Errorf("%q (-want +got):\n%s", zone, diff)
		}
	}
}

func pointers(v []object.Violation) []string {
	var p []string
	for _, one := range v {
		p = append(p, one.Pointer)
	}
	return p
}

func TestAnAPIKeyAllowsItsScopesUntilItExpires(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	k := workspace.APIKey{Scopes: []workspace.Scope{workspace.Read}, ExpiresAt: &now}
	if !k.Allows(workspace.Read) || k.Allows(workspace.Admin) || k.Allows(workspace.WallboardRead) {
		t.Error("the key allows other scopes than its own")
	}
	if k.Expired(now.Add(-time.Nanosecond)) || !k.Expired(now) {
		t.Error("the key does not expire at its time")
	}
	k.ExpiresAt = nil
	if k.Expired(now.AddDate(1000, 0, 0)) {
		t.Error("a key without an end expired")
	}
}

func TestAPIKeyValidateNamesEveryBrokenRule(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := workspace.APIKey{Name: "ci", Scopes: workspace.Scopes()}
	if v := good.Validate(now); v != nil {
		t.Errorf("got %v, want nothing", v)
	}
	bad := workspace.APIKey{Name: strings.Repeat("n", 257), Scopes: []workspace.Scope{workspace.Read, "root"}, ExpiresAt: &now}
	if diff := cmp.Diff([]string{"/name", "/scopes/1", "/expiresAt"}, pointers(bad.Validate(now))); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/scopes"}, pointers((&workspace.APIKey{}).Validate(now))); diff != "" {
		t.Errorf("pointers (-want +got):\n%s", diff)
	}
	for limit, allowed := range map[float64]bool{
		workspace.MinRateLimit: true, 2.5: true, workspace.MaxRateLimit: true, 0: false, -1: false, 1e-9: false, workspace.MaxRateLimit + 1: false,
	} {
		limited := good
		limited.RateLimit = &limit
		if v := pointers(limited.Validate(now)); (v == nil) != allowed {
			t.Errorf("rate limit %g: broken rules %v, allowed %t", limit, v, allowed)
		}
	}
}

func TestTheKeyOfDevCannotAdminister(t *testing.T) {
	t.Parallel()
	got := workspace.DevScopes()
	if len(got) != len(workspace.Scopes())-1 {
		t.Errorf("got %v, want every scope but one", got)
	}
	for _, s := range got {
		if s == workspace.Admin {
			t.Error("the key may administer")
		}
	}
}

func TestSecretsAreLongAndNeverTheSame(t *testing.T) {
	t.Parallel()
	a, b := workspace.NewSecret(), workspace.NewSecret()
	if a == b || len(a) < 64 || !strings.HasPrefix(a, "tlk_") {
		t.Errorf("got %s and %s", a, b)
	}
	// Keys that are in a log must go on working.
	if got, want := workspace.HashKey("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRecordsOfAnUnknownVersionAreRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`{"v":2,"id":"a"}`, `{"id":"a"}`, `{`, `[]`} {
		if w, err := workspace.ParseWorkspace([]byte(value)); err == nil {
			t.Errorf("%s: got workspace %+v", value, w)
		}
	}
	for _, value := range []string{`{"v":2,"id":"k","workspace":"a","hash":"h"}`, `{"v":1,"id":"k","workspace":"a"}`, `{`} {
		if k, err := workspace.ParseAPIKey([]byte(value)); err == nil {
			t.Errorf("%s: got key %+v", value, k)
		}
	}
}
