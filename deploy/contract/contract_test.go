package contract

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/api"
	"github.com/throughline/throughline/schema/schematest/contract"
	"github.com/throughline/throughline/schema/web"
	"github.com/throughline/throughline/schema/workspace"
)

// TestTheDocumentAndTheServicesAgree needs every service, so its parts share one installation, one after the other.
//
//nolint:tparallel // one after the other
func TestTheDocumentAndTheServicesAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("every route is an operation and every operation a route", func(t *testing.T) { sameRoutes(t, w) })
	s := &session{world: w, keys: keysOf(w)}
	t.Run("every example is answered as the document says", s.examples)
	t.Run("every refusal can be produced", s.refusals)
	t.Run("the key of a screen opens the wallboard alone", s.screens)
	t.Run("services that cannot answer say so", s.outages)
	t.Run("no case is left", func(t *testing.T) { nothingLeft(t, w.checker) })
}

func sameRoutes(t *testing.T, w *world) {
	t.Helper()
	var have, want []web.Route
	for _, r := range w.routes() {
		if r.Method != http.MethodHead { // every GET answers it
			have = append(have, r)
		}
	}
	for _, op := range w.checker.Document.Operations {
		// Those of the second listener have no router; they are asked below.
		if !slices.Contains([]string{"/livez", "/readyz", "/metrics"}, op.Path) {
			want = append(want, web.Route{Method: op.Method, Template: op.Path})
		}
	}
	order := func(a, b web.Route) int { return strings.Compare(a.Template+" "+a.Method, b.Template+" "+b.Method) }
	slices.SortFunc(have, order)
	slices.SortFunc(want, order)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("routes differ (-document +services); each part of the API has a file in schema/api/openapi:\n%s", diff)
	}
}

func nothingLeft(t *testing.T, c *contract.Checker) {
	t.Helper()
	seen := c.Seen()
	for _, op := range c.Document.Operations {
		for _, r := range op.Responses {
			// These two say it only of what is too broad, which needs more rows than there are here; package query has
			// tests of its limits.
			tooBroad := r.Status == http.StatusUnprocessableEntity && slices.Contains([]string{"listConversations", "reportConversations"}, op.ID)
			if seen[contract.Case{Operation: op.ID, Status: r.Status}] == 0 && !tooBroad {
				t.Errorf("%s promises a %d, and nothing here produces it", op.ID, r.Status)
			}
		}
	}
}

// keys open different things.
type keys struct{ all, admin, wallboard, slow string }

// shop is the workspace of the document's examples.
const shop = "shop"

func keysOf(w *world) keys {
	limit := workspace.MinRateLimit
	return keys{
		all: w.key(nil, workspace.Scopes()...), admin: w.key(nil, workspace.Admin),
		wallboard: w.key(nil, workspace.WallboardRead), slow: w.key(&limit, workspace.Scopes()...),
	}
}

// of is the key that opens an operation.
func (k keys) of(op *api.Operation) string {
	if op.Operator() {
		return operatorKey
	}
	return k.all
}

// session sends what the document describes.
type session struct {
	*world

	keys keys
	// keyID is the id of an API key that is there.
	keyID string
	// deliveryID is the id of a delivery that is there.
	deliveryID string
	// replayID is the id of a replay that was asked for.
	replayID string
	// written are the positions of what was written for reads to show.
	written []string
}

// prepared is an example that can be sent: with a key, and with the ids of a key, a delivery and a replay that are there.
func (s *session) prepared(e api.Example) request {
	r := from(e)
	if !e.Operation.Public() {
		r = r.key(s.keys.of(e.Operation))
	}
	if base, _, ok := strings.Cut(e.Operation.Path, "{keyId}"); ok {
		r.path = strings.Replace(base, "{workspaceId}", shop, 1) + s.keyID
	}
	for variable, id := range map[string]string{"{deliveryId}": s.deliveryID, "{replayId}": s.replayID} {
		if base, rest, ok := strings.Cut(e.Operation.Path, variable); ok {
			r.path = base + id + rest
		}
	}
	return r
}

// inOrder are the operations in an order in which their examples can be run: what is asked for is made first, and
// deleted last.
func (s *session) inOrder() []*api.Operation {
	rank := func(op *api.Operation) int {
		first := []string{
			"putWorkspace", "postApiKey", "putWebhookEndpoint", "postObjects", "putObject", "postEvent", "postEvents", "postTransition",
			"postTransitions", "testWebhookEndpoint", "postWebhookReplay",
		}
		switch i := slices.Index(first, op.ID); {
		case i >= 0:
			return i - len(first)
		case op.Method == http.MethodDelete:
			return 1
		default:
			return 0
		}
	}
	ops := slices.Clone(s.checker.Document.Operations)
	slices.SortStableFunc(ops, func(a, b *api.Operation) int { return rank(a) - rank(b) })
	return ops
}

// examples sends every example, and every optional parameter's.
func (s *session) examples(t *testing.T) {
	for _, op := range s.inOrder() {
		for _, e := range slices.Concat(op.Examples(), op.Variants()) {
			r := s.prepared(e)
			if op.Tag == "Reading" || op.Tag == "Conversations" && op.Method == http.MethodGet {
				for _, position := range s.written {
					r = r.query("position=" + position)
				}
			}
			a := r.send(t, s.url)
			if _, described := op.Response(a.status); !described || a.status >= http.StatusBadRequest {
				t.Errorf("example %s of %s: got %d %s", e.Name, op.ID, a.status, a.body)
			}
			if p := a.position(); p != "" && (op.Tag == "Events" || op.Tag == "Conversations") {
				s.written = append(s.written, p)
			}
			location := a.header.Get("Location")
			made := location[strings.LastIndexByte(location, '/')+1:]
			switch op.ID {
			case "postApiKey":
				s.keyID = made
			case "postWebhookReplay":
				s.replayID = made
			case "testWebhookEndpoint":
				s.delivered(t, a)
			}
		}
	}
	for _, op := range s.checker.Document.Operations {
		if _, ok := op.Response(http.StatusNotModified); ok {
			s.prepared(op.Examples()[0]).with("If-None-Match", "*").want(t, s.url, http.StatusNotModified)
		}
	}
}

// delivered remembers the delivery that a test made, as soon as the lists show it and what became of it.
func (s *session) delivered(t *testing.T, a answer) {
	t.Helper()
	var made struct{ DeliveryID string }
	check(t, json.Unmarshal(a.body, &made))
	s.deliveryID = made.DeliveryID
	for _, list := range []string{"deliveries", "attempts"} {
		r := request{method: http.MethodGet, path: "/v1/webhook-endpoints/crm/" + list, header: http.Header{}}.key(s.keys.all)
		eventually(t, "the list of "+list+" to show the delivery", func() bool {
			return bytes.Contains(r.send(t, s.url).body, []byte(made.DeliveryID))
		})
	}
}
