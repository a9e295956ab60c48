package seal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

func master(tb testing.TB, first byte) *seal.Master {
	tb.Helper()
	key := make([]byte, seal.KeyBytes)
	key[0] = first
	m, err := seal.NewMaster(key)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func ann() object.Ref { return object.Ref{Type: object.Customer, ID: "c1"} }

func dataKey(tb testing.TB, m *seal.Master) (*seal.KeyRecord, *seal.DataKey) {
	tb.Helper()
	rec, key, err := m.NewKey("acme", ann(), time.Unix(0, 0))
	if err != nil {
		tb.Fatal(err)
	}
	return rec, key
}

func TestWhatWasSealedOpensWithTheUnwrappedKey(t *testing.T) {
	t.Parallel()
	m := master(t, 1)
	rec, key := dataKey(t, m)
	again, err := m.Unwrap(rec)
	if err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string]string{
		"nothing": "", "a short text": `{"a":1}`, "a text that is compressed": strings.Repeat("Ann likes tea. ", 100),
		"a text of 32 KiB of escapes": strings.Repeat(`\u0000`, 32<<10),
	} {
		sealed := key.Seal([]byte(plain), []byte("here"))
		if len(plain) > 3 && bytes.Contains(sealed, []byte(plain[:4])) {
			t.Errorf("%s: the sealed bytes show the text", name)
		}
		got, err := again.Open(sealed, []byte("here"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(got) != plain {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(plain))
		}
	}
}

func TestSealedBytesOpenNowhereElse(t *testing.T) {
	t.Parallel()
	m := master(t, 1)
	_, key := dataKey(t, m)
	_, other := dataKey(t, m)
	sealed := key.Seal([]byte("secret"), []byte("here"))
	if _, err := key.Open(sealed, []byte("there")); !errors.Is(err, seal.ErrKey) {
		t.Errorf("other additional data: got %v, want ErrKey", err)
	}
	if _, err := other.Open(sealed, []byte("here")); !errors.Is(err, seal.ErrKey) {
		t.Errorf("another key of the same subject: got %v, want ErrKey", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := key.Open(changed, []byte("here")); !errors.Is(err, seal.ErrKey) {
			t.Fatalf("byte %d changed: got %v, want ErrKey", i, err)
		}
	}
	for n := range sealed {
		if _, err := key.Open(sealed[:n], []byte("here")); !errors.Is(err, seal.ErrKey) {
			t.Fatalf("cut to %d bytes: got %v, want ErrKey", n, err)
		}
	}
}

func TestEverySealIsNew(t *testing.T) {
	t.Parallel()
	_, key := dataKey(t, master(t, 1))
	if bytes.Equal(key.Seal([]byte("a"), nil), key.Seal([]byte("a"), nil)) {
		t.Error("the same text was sealed to the same bytes twice")
	}
}

func TestAKeyUnwrapsOnlyWithItsMasterAndForItsSubject(t *testing.T) {
	t.Parallel()
	m := master(t, 1)
	rec, _ := dataKey(t, m)
	if _, err := master(t, 2).Unwrap(rec); !errors.Is(err, seal.ErrKey) {
		t.Errorf("another master key: got %v, want ErrKey", err)
	}
	for name, change := range map[string]func(*seal.KeyRecord){
		"another subject":   func(r *seal.KeyRecord) { r.ObjectID = "c2" },
		"another workspace": func(r *seal.KeyRecord) { r.Workspace = "other" },
		"another type":      func(r *seal.KeyRecord) { r.Type = object.Account },
		"another key id":    func(r *seal.KeyRecord) { r.ID = "k" },
	} {
		moved := *rec
		change(&moved)
		if _, err := m.Unwrap(&moved); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

func TestAMasterKeyIsReadFromHexAndBase64(t *testing.T) {
	t.Parallel()
	want := master(t, 1).ExternalToken("w", object.Account, "77")
	for _, s := range []string{
		"01" + strings.Repeat("00", 31), " 01" + strings.Repeat("00", 31) + "\n", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	} {
		m, err := seal.ParseMaster(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := m.ExternalToken("w", object.Account, "77"); got != want {
			t.Errorf("%q is another key", s)
		}
	}
	for _, s := range []string{"", "0102", "AQAA", strings.Repeat("zz", 32), strings.Repeat("00", 33)} {
		if _, err := seal.ParseMaster(s); err == nil {
			t.Errorf("%q was taken for a master key", s)
		}
	}
}

func TestExternalTokensAreStableAndTellNothingApart(t *testing.T) {
	t.Parallel()
	m := master(t, 1)
	token := m.ExternalToken("acme", object.Customer, "195959")
	// The token is in every log: a change of its making would lose every external id.
	if want := "CYjHkFqCtrcN2_5IlFRYJKwq"; token != want {
		t.Errorf("got %s, want %s", token, want)
	}
	for name, other := range map[string]string{
		"another workspace":   m.ExternalToken("acme2", object.Customer, "195959"),
		"another type":        m.ExternalToken("acme", object.Account, "195959"),
		"another id":          m.ExternalToken("acme", object.Customer, "195958"),
		"another master key":  master(t, 2).ExternalToken("acme", object.Customer, "195959"),
		"a shifted separator": m.ExternalToken("acme\x00CUSTOMER", "", "195959"),
	} {
		if other == token {
			t.Errorf("%s has the same token", name)
		}
	}
}

// TestOpeningIsBounded seals what no caller of ours would: a text that grows beyond all bounds when it is unpacked.
func TestOpeningIsBounded(t *testing.T) {
	t.Parallel()
	_, key := dataKey(t, master(t, 1))
	sealed := key.Seal(make([]byte, 64<<20), nil)
	if len(sealed) > 64<<10 {
		t.Fatalf("64 MiB of nothing became %d bytes: this is no bomb", len(sealed))
	}
	if plain, err := key.Open(sealed, nil); !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		t.Errorf("got %d bytes, %v, want ErrDecoderSizeExceeded", len(plain), err)
	}
}
