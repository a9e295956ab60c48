package ingest

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
)

func testTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func TestEventIsRefusedWithWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", object.MaxPayloadDepth+1) + strings.Repeat("]", object.MaxPayloadDepth+1)
	related := `{"objectType":"USER","objectId":"u"},`
	for name, c := range map[string]struct {
		body     string
		kind     problem.Type
		pointers []string
		detail   string // part of the problem's detail
	}{
		"a sample with a comment and a trailing comma": {
			body: "{\n  \"objectType\": \"CUSTOMER\", // who\n  \"objectId\": \"c1\",\n  \"name\": \"n\",\n}",
			kind: problem.MalformedJSON, pointers: []string{""}, detail: "Line 2, column 29",
		},
		"a trailing comma": {
			body: "{\n  \"objectType\": \"CUSTOMER\",\n  \"objectId\": \"c1\",\n  \"name\": \"n\",\n}",
			kind: problem.MalformedJSON, pointers: []string{""}, detail: "Line 4, column",
		},
		"nothing":            {body: " ", kind: problem.MalformedJSON, detail: "empty"},
		"null":               {body: "null", kind: problem.InvalidMember, pointers: []string{""}},
		"a list":             {body: "[]", kind: problem.InvalidMember, pointers: []string{""}},
		"two values":         {body: `{"objectType":"USER","objectId":"u","name":"n"} {}`, kind: problem.MalformedJSON, pointers: []string{""}},
		"a name twice":       {body: `{"name":"n","name":"m"}`, kind: problem.MalformedJSON, pointers: []string{"/name"}},
		"a name in capitals": {body: `{"objectType":"USER","objectId":"u","Name":"n"}`, kind: problem.InvalidMember, pointers: []string{"/Name"}},
		"an empty object":    {body: `{}`, kind: problem.InvalidMember, pointers: []string{"/objectType", "/objectId", "/name"}},
		"a number for an id": {body: `{"objectType":"USER","objectId":7,"name":"n"}`, kind: problem.InvalidMember, pointers: []string{"/objectId"}, detail: "a string"},
		"an unknown type":    {body: `{"objectType":"PERSON","objectId":"u","name":"n"}`, kind: problem.InvalidMember, pointers: []string{"/objectType"}, detail: "SESSION_RECORDING"},
		"an id with a control character": {
			body: `{"objectType":"USER","objectId":"a\u0000b","name":"n"}`, kind: problem.InvalidMember, pointers: []string{"/objectId"},
		},
		"a time before 1900":  {body: `{"objectType":"USER","objectId":"u","name":"n","occurredAt":"1899-12-31T23:59:59Z"}`, kind: problem.InvalidMember, pointers: []string{"/occurredAt"}},
		"a time in two days":  {body: `{"objectType":"USER","objectId":"u","name":"n","occurredAt":"2026-01-04T03:04:05Z"}`, kind: problem.InvalidMember, pointers: []string{"/occurredAt"}},
		"a time that is none": {body: `{"objectType":"USER","objectId":"u","name":"n","occurredAt":"yesterday"}`, kind: problem.InvalidMember, pointers: []string{"/occurredAt"}, detail: "RFC 3339"},
		"a name that is long": {body: `{"objectType":"USER","objectId":"u","name":"` + strings.Repeat("ä", 257) + `"}`, kind: problem.InvalidMember, pointers: []string{"/name"}, detail: "256"},
		"a payload that is deep": {
			body: `{"objectType":"USER","objectId":"u","name":"n","payload":` + deep + `}`, kind: problem.InvalidMember, pointers: []string{"/payload"}, detail: "128",
		},
		"51 related objects": {
			body: `{"objectType":"USER","objectId":"u","name":"n","relatedObjects":[` + strings.TrimSuffix(strings.Repeat(related, 51), ",") + `]}`,
			kind: problem.InvalidMember, pointers: []string{"/relatedObjects"}, detail: "50",
		},
		"a related object without an id": {
			body: `{"objectType":"USER","objectId":"u","name":"n","relatedObjects":[{"objectType":"USER","objectId":"v"},{"objectType":"nobody"}]}`,
			kind: problem.InvalidMember, pointers: []string{"/relatedObjects/1/objectType", "/relatedObjects/1/objectId"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p := decodeEvent([]byte(c.body), http.Header{}, testTime())
			if p == nil {
				t.Fatal("it was accepted")
			}
			var pointers []string
			for _, f := range p.Errors {
				pointers = append(pointers, f.Pointer)
			}
			if p.Type != c.kind || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("problem is %s: %s", p.Type, p.Detail)
			}
			if diff := cmp.Diff(c.pointers, pointers); diff != "" {
				t.Errorf("pointers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventIsReadAsItWasMeant(t *testing.T) {
	t.Parallel()
	at := event.TimeOf(testTime())
	for name, c := range map[string]struct {
		body string
		key  string
		want event.Submission
	}{
		"an alias of a type": {
			body: `{"objectType":"user (agent)","objectId":"u","name":"n","id":"e"}`,
			want: event.Submission{ID: "e", Type: object.User, ObjectID: "u", Name: "n", ReceivedAt: at},
		},
		"null for everything optional": {
			body: `{"objectType":"USER","objectId":"u","externalId":null,"name":"n","description":null,"icon":null,"payload":null,"id":"e",
				"occurredAt":null,"source":null,"relatedObjects":null}`,
			want: event.Submission{ID: "e", Type: object.User, ObjectID: "u", Name: "n", ReceivedAt: at},
		},
		"the header for the id": {
			body: `{"objectType":"USER","objectId":"u","name":"n"}`, key: "k",
			want: event.Submission{ID: "k", Type: object.User, ObjectID: "u", Name: "n", ReceivedAt: at},
		},
		"the header and the same id": {
			body: `{"objectType":"USER","objectId":"u","name":"n","id":"k"}`, key: "k",
			want: event.Submission{ID: "k", Type: object.User, ObjectID: "u", Name: "n", ReceivedAt: at},
		},
		"a payload that is a scalar": {
			body: `{"objectType":"USER","objectId":"u","name":"n","id":"e","payload": 1.0 }`,
			want: event.Submission{ID: "e", Type: object.User, ObjectID: "u", Name: "n", ReceivedAt: at, Payload: []byte("1.0")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if c.key != "" {
				header.Set(idempotencyHeader, c.key)
			}
			got, p := decodeEvent([]byte(c.body), header, testTime())
			if p != nil {
				t.Fatal(p)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("submission (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzAcceptedEventIsReadBackFromTheLog(f *testing.F) {
	for _, seed := range []string{
		`{"objectType":"CUSTOMER","objectId":"c1","name":"n","payload":{"a":[1,2.50,"\u00e9"]},"occurredAt":1767225600123}`,
		`{"objectType":"AGENT","externalId":"x","name":"n","relatedObjects":[{"objectType":"ACCOUNT","externalId":"77"}]}`,
		`{"name":"\ud800"}`, `{"objectType":`, `[]`, "{}\n{}", `{"payload":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sub, p := decodeEvent(body, http.Header{}, testTime())
		if p != nil {
			if p.Status != http.StatusBadRequest && p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("refused with %d: %v", p.Status, p)
			}
			if _, err := rejection(sub, "w", event.StatusInvalid, p.Detail, body).Encode(); err != nil {
				t.Fatalf("the refusal cannot be logged: %v", err)
			}
			return
		}
		sub.Workspace = "w"
		value, err := sub.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := event.ParseSubmission(value)
		if err != nil {
			t.Fatalf("the record %s cannot be read: %v", value, err)
		}
		if !bytes.Contains(body, sub.Payload) {
			t.Errorf("payload %s is not what was sent", sub.Payload)
		}
		sub.Version = event.RecordVersion
		if diff := cmp.Diff(sub, back); diff != "" {
			t.Errorf("submission (-accepted +read):\n%s", diff)
		}
	})
}
