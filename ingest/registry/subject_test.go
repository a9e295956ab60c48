package registry_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/topic"
)

// newKey writes a data key of a customer.
func (l *log) newKey(t *testing.T, id string) (*seal.KeyRecord, *seal.DataKey) {
	t.Helper()
	rec, key, err := l.master.NewKey(ws, customer(id), time.Now())
	check(t, err)
	value, err := json.Marshal(rec)
	check(t, err)
	l.append(t, topic.SubjectKeys, topic.Key(ws, "CUSTOMER", id, rec.ID), value, time.Now())
	return rec, key
}

func TestDataKeyIsFoundAsSoonAsItIsAcknowledged(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	for range 20 {
		rec, key := l.newKey(t, "c1")
		found, err := v.DataKey(t.Context(), ws, customer("c1"), rec.ID)
		check(t, err)
		plain, err := found.Open(key.Seal([]byte("text"), nil), nil)
		if err != nil || string(plain) != "text" {
			t.Fatalf("opened to %q, %v", plain, err)
		}
	}
}

func TestCurrentKeyIsTheNewestOfASubject(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t), schematest.Prefix(t))
	v := l.follow(t, t.TempDir())
	if _, _, err := v.CurrentKey(ws, customer("c1")); !errors.Is(err, registry.ErrErased) {
		t.Errorf("a subject without a key: %v, want ErrErased", err)
	}
	l.newKey(t, "c1")
	newest, _ := l.newKey(t, "c1")
	l.newKey(t, "c10") // its id begins with the other's
	check(t, v.Barrier(t.Context()))
	if id, _, err := v.CurrentKey(ws, customer("c1")); id != newest.ID || err != nil {
		t.Errorf("current key is %s, %v; want %s", id, err, newest.ID)
	}
}

func TestErasedKeyIsGoneWithWhatItSealed(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t), schematest.Prefix(t))
	v := l.follow(t, t.TempDir())
	rec, key := l.newKey(t, "c1")
	sealed := &object.Record{
		Version: object.RecordVersion, Workspace: ws, Type: object.Customer, ID: "c1", KeyID: rec.ID,
		Relations: []object.Relation{{Type: object.Account, ID: "a1"}},
	}
	sealed.Sealed = key.Seal([]byte(`{"name":"Ann"}`), sealed.AdditionalData())
	o, err := v.OpenObject(t.Context(), sealed)
	if err != nil || o.Name != "Ann" {
		t.Fatalf("opened to %+v, %v", o, err)
	}
	at := l.append(t, topic.SubjectKeys, topic.Key(ws, "CUSTOMER", "c1", rec.ID), nil, time.Now())
	check(t, v.WaitFor(t.Context(), at))
	if _, err := v.DataKey(t.Context(), ws, customer("c1"), rec.ID); !errors.Is(err, registry.ErrErased) {
		t.Errorf("data key: %v, want ErrErased", err)
	}
	o, err = v.OpenObject(t.Context(), sealed)
	if err != nil || o.Name != "" || len(o.Relations) != 1 {
		t.Errorf("opened to %+v, %v; want it without a name", o, err)
	}
}
