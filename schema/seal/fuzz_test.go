package seal_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

func FuzzForgedKeysAndTextsDoNotOpen(f *testing.F) {
	master, err := seal.NewMaster(bytes.Repeat([]byte{7}, seal.KeyBytes))
	if err != nil {
		f.Fatal(err)
	}
	_, key, err := master.NewKey("acme", object.Ref{Type: object.Customer, ID: "c1"}, time.UnixMilli(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"v":1,"keyId":"k","workspace":"acme","objectType":"CUSTOMER","objectId":"c1","master":"m","wrapped":"AAAA"}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"wrapped":""}`))
	f.Add(bytes.Repeat([]byte{1}, 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		if rec, err := seal.ParseKeyRecord(b); err == nil {
			if _, err := master.Unwrap(rec); !errors.Is(err, seal.ErrKey) {
				t.Errorf("a forged key is answered %v", err)
			}
		}
		if plain, err := key.Open(b, nil); !errors.Is(err, seal.ErrKey) {
			t.Errorf("forged bytes open to %q, %v", plain, err)
		}
	})
}

func FuzzParseMasterTakesKeysAlone(f *testing.F) {
	f.Add("0707070707070707070707070707070707070707070707070707070707070707")
	f.Add("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := seal.ParseMaster(s); err == nil && len(s) < seal.KeyBytes {
			t.Errorf("%q is too short for a key", s)
		}
	})
}
