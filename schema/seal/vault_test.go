package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/throughline/throughline/schema/seal"
)

func masterOf(t *testing.T, first byte) *seal.Master {
	t.Helper()
	m, err := seal.NewMaster(append([]byte{first}, make([]byte, seal.KeyBytes-1)...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAVaultOpensWhatItsMastersSealed(t *testing.T) {
	t.Parallel()
	older, newer := masterOf(t, 1), masterOf(t, 2)
	sealed, err := seal.NewVault(older).Seal([]byte("whsec_x"), []byte("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("whsec")) {
		t.Error("the secret can be read")
	}
	rotated := seal.NewVault(newer, older)
	plain, err := rotated.Open(sealed, []byte("endpoint"))
	if err != nil || string(plain) != "whsec_x" {
		t.Fatalf("got %q, %v", plain, err)
	}
	again, err := rotated.Seal(plain, []byte("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err = seal.NewVault(newer).Open(again, []byte("endpoint")); err != nil || string(plain) != "whsec_x" {
		t.Errorf("after the rotation: got %q, %v", plain, err)
	}
	refused := map[string]func() ([]byte, error){
		"a master key that is not known": func() ([]byte, error) { return seal.NewVault(newer).Open(sealed, []byte("endpoint")) },
		"another record":                 func() ([]byte, error) { return rotated.Open(sealed, []byte("other")) },
		"nothing":                        func() ([]byte, error) { return rotated.Open(nil, nil) },
		"changed bytes": func() ([]byte, error) {
			changed := bytes.Clone(sealed)
			changed[len(changed)-1]++
			return rotated.Open(changed, []byte("endpoint"))
		},
	}
	for name, open := range refused {
		if plain, err := open(); !errors.Is(err, seal.ErrKey) {
			t.Errorf("%s: got %q, %v", name, plain, err)
		}
	}
}
