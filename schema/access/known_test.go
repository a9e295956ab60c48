package access_test

import (
	"net/http"
	"testing"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/workspace"
)

// TestKeyInUseIsNoLongerGoodOnceItsRecordSaysSo uses keys until they are remembered, and then changes what they mean, from
// the same process and from another.
func TestKeyInUseIsNoLongerGoodOnceItsRecordSaysSo(t *testing.T) {
	t.Parallel()
	kafka := newLog(t, schematest.Kfake(t))
	writer, reader := start(t, kafka), start(t, kafka)
	writer.put(t, "acme")
	kept := writer.create(t, "acme", workspace.Read)
	dropped := writer.create(t, "acme", workspace.Read)
	status := func(p *process, secret string) int {
		rec, _ := p.ask(t, "Bearer "+secret, p.reading)
		return rec.Code
	}
	both := func(secret string, want int) {
		t.Helper()
		check(t, reader.Barrier(t.Context()))
		for name, p := range map[string]*process{"the writer": writer, "the reader": reader} {
			for range 3 {
				if got := status(p, secret); got != want {
					t.Fatalf("%s answered %d, want %d", name, got, want)
				}
			}
		}
	}
	both(kept.Secret, http.StatusNoContent)
	both(dropped.Secret, http.StatusNoContent)

	_, err := writer.DeleteKey(t.Context(), "acme", dropped.Key.ID)
	check(t, err)
	both(dropped.Secret, http.StatusUnauthorized)
	both(kept.Secret, http.StatusNoContent)

	_, _, err = writer.PutWorkspace(t.Context(), workspace.Workspace{ID: "acme", Status: workspace.Suspended})
	check(t, err)
	both(kept.Secret, http.StatusForbidden)
	_, _, err = writer.PutWorkspace(t.Context(), workspace.Workspace{ID: "acme"})
	check(t, err)
	both(kept.Secret, http.StatusNoContent)
}
