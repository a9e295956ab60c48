package seal

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Vault keeps secrets that the installation itself has to use, such as those that sign webhooks: they cannot be hashed,
// because they are needed again. What is sealed names its master key, so that several may be known while one takes the
// place of another: everything is sealed with the first, and opened with the one that it names.
type Vault struct {
	masters []*Master
}

// NewVault makes a Vault of the master key in force and of those before it, which only open.
func NewVault(current *Master, previous ...*Master) *Vault {
	return &Vault{masters: append([]*Master{current}, previous...)}
}

// vaultForm is the first byte of everything that a Vault seals.
const vaultForm = 1

// nameBytes is the length of a master key's name, in bytes.
const nameBytes = 8

// Seal encrypts plain with the master key in force. additional binds it to its record: opening needs the same bytes.
func (v *Vault) Seal(plain, additional []byte) ([]byte, error) {
	m := v.masters[0]
	name, err := hex.DecodeString(m.id)
	if err != nil || len(name) != nameBytes {
		return nil, errors.New("seal secret: the master key has no name")
	}
	head := append([]byte{vaultForm}, name...)
	return m.secret.Seal(head, nil, plain, additional), nil //nolint:gosec // the cipher makes a random nonce itself
}

// Open reverses Seal. It answers ErrKey where no master key of the Vault fits, for another record's bytes, and for bytes
// that were changed.
func (v *Vault) Open(sealed, additional []byte) ([]byte, error) {
	if len(sealed) < 1+nameBytes || sealed[0] != vaultForm {
		return nil, fmt.Errorf("open secret: %w", ErrKey)
	}
	name := hex.EncodeToString(sealed[1 : 1+nameBytes])
	for _, m := range v.masters {
		if m.id != name {
			continue
		}
		plain, err := m.secret.Open(nil, nil, sealed[1+nameBytes:], additional)
		if err != nil {
			return nil, fmt.Errorf("open secret: %w", ErrKey)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("open secret of master key %s: %w", name, ErrKey)
}
