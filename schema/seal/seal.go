// Package seal keeps personal fields unreadable in the log without a data key, so that forgetting a person is
// dropping a key: the log itself is never rewritten.
//
// Every subject (an object of a workspace) has a data key of its own, which is kept in the topic subject-keys,
// wrapped by the installation's master key. The cipher is AES-256-GCM with random nonces from the standard library.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/record"
)

// KeyBytes is the length of master and data keys.
const KeyBytes = 32

// RecordVersion is the version of KeyRecord's form. A reader refuses a greater one.
const RecordVersion = 1

// KeyRecord is a wrapped data key, in the topic subject-keys under workspace/TYPE/id/keyId; a record without a value
// means that the key is gone and what it sealed is forgotten.
type KeyRecord struct {
	Version   int         `json:"v"`
	ID        string      `json:"keyId"`
	Workspace string      `json:"workspace"`
	Type      object.Type `json:"objectType"`
	ObjectID  string      `json:"objectId"`
	// Master names the master key that wraps this one.
	Master    string    `json:"master"`
	Wrapped   []byte    `json:"wrapped"`
	CreatedAt time.Time `json:"createdAt"`
}

// Master wraps data keys and makes look-up tokens.
type Master struct {
	id   string
	wrap cipher.AEAD
	// secret seals what a Vault keeps.
	secret cipher.AEAD
	token  []byte
	// zip compresses short texts, and zipLong long ones.
	zip, zipLong *zstd.Encoder
	unzip        *zstd.Decoder
	// frames are slices for what is decrypted and not decompressed yet.
	frames sync.Pool
}

// ErrKey is what opening answers where the key does not fit or the sealed bytes were changed.
var ErrKey = errors.New("sealed bytes do not open with this key")

// NewMaster makes a Master of 32 random bytes.
func NewMaster(key []byte) (*Master, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("master key: has %d bytes, %d are needed", len(key), KeyBytes)
	}
	wrapKey, err := hkdf.Key(sha256.New, key, nil, "throughline wrap data keys", KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive wrapping key: %w", err)
	}
	token, err := hkdf.Key(sha256.New, key, nil, "throughline external id tokens", KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive token key: %w", err)
	}
	name, err := hkdf.Key(sha256.New, key, nil, "throughline name of the master key", 8)
	if err != nil {
		return nil, fmt.Errorf("derive name: %w", err)
	}
	secretKey, err := hkdf.Key(sha256.New, key, nil, "throughline seal secrets", KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive key of secrets: %w", err)
	}
	wrap, err := newAEAD(wrapKey)
	if err != nil {
		return nil, err
	}
	secret, err := newAEAD(secretKey)
	if err != nil {
		return nil, err
	}
	// The cipher finds what was changed, so that no checksum is needed. Short texts are not coded by how often their letters
	// are, which makes them a fifth longer, and takes a fifth of the time, both to write and to read: most of that is for the
	// tables of each text.
	common := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64 << 10), zstd.WithEncoderCRC(false)}
	zipLong, err := zstd.NewWriter(nil, common...)
	if err != nil {
		return nil, fmt.Errorf("open compressor: %w", err)
	}
	zip, err := zstd.NewWriter(nil, append(common, zstd.WithNoEntropyCompression(true))...)
	if err != nil {
		return nil, fmt.Errorf("open compressor: %w", err)
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return &Master{id: hex.EncodeToString(name), wrap: wrap, secret: secret, token: token, zip: zip, zipLong: zipLong, unzip: unzip}, nil
}

// ParseMaster reads a master key as an operator writes it: 64 hexadecimal digits, or base64 of 32 bytes.
func ParseMaster(s string) (*Master, error) {
	s = strings.TrimSpace(s)
	if b, err := hex.DecodeString(s); err == nil {
		return NewMaster(b)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("master key: want 64 hexadecimal digits or base64 of 32 bytes")
	}
	return NewMaster(b)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("open cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("open cipher: %w", err)
	}
	return aead, nil
}

// NewKey makes a data key for a subject. Its record must be acknowledged before anything that it sealed is written.
func (m *Master) NewKey(workspace string, subject object.Ref, now time.Time) (*KeyRecord, *DataKey, error) {
	plain := make([]byte, KeyBytes)
	_, _ = rand.Read(plain) // it never fails: the runtime ends the process instead
	id, err := uuid.NewV7()
	if err != nil {
		return nil, nil, fmt.Errorf("make key id: %w", err)
	}
	rec := &KeyRecord{
		Version: RecordVersion, ID: id.String(), Workspace: workspace,
		Type: subject.Type, ObjectID: subject.ID, Master: m.id, CreatedAt: now.UTC(),
	}
	rec.Wrapped = m.wrap.Seal(nil, nil, plain, rec.additionalData()) //nolint:gosec // the cipher makes a random nonce itself
	key, err := m.dataKey(plain)
	return rec, key, err
}

func (r *KeyRecord) additionalData() []byte {
	return fmt.Appendf(nil, "key\x00%s\x00%s\x00%s\x00%s", r.Workspace, r.Type, r.ObjectID, r.ID)
}

// Unwrap opens a data key. It answers ErrKey where another master key wrapped it.
func (m *Master) Unwrap(rec *KeyRecord) (*DataKey, error) {
	plain, err := m.wrap.Open(nil, nil, rec.Wrapped, rec.additionalData())
	if err != nil {
		return nil, fmt.Errorf("unwrap key %s of master key %s with master key %s: %w", rec.ID, rec.Master, m.id, ErrKey)
	}
	return m.dataKey(plain)
}

func (m *Master) dataKey(plain []byte) (*DataKey, error) {
	aead, err := newAEAD(plain)
	if err != nil {
		return nil, err
	}
	return &DataKey{aead: aead, master: m}, nil
}

// ExternalToken stands for an external id in the log and in local views: it can be compared and looked up, and says
// nothing to who lacks the master key.
func (m *Master) ExternalToken(workspace string, t object.Type, externalID string) string {
	mac := hmac.New(sha256.New, m.token)
	fmt.Fprintf(mac, "%s\x00%s\x00%s", workspace, t, externalID)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// Encode writes the record's value: the bytes that json.Marshal would give, by hand because every new conversation has a
// key.
func (r *KeyRecord) Encode() ([]byte, error) {
	at, err := r.CreatedAt.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode subject key: %w", err)
	}
	const room = 448 // for most
	w := record.Begin(room)
	w.Int("v", int64(r.Version))
	w.Text("keyId", r.ID)
	w.Text("workspace", r.Workspace)
	w.Text("objectType", string(r.Type))
	w.Text("objectId", r.ObjectID)
	w.Text("master", r.Master)
	w.Name("wrapped")
	w.Raw(`"`)
	w.B = base64.StdEncoding.AppendEncode(w.B, r.Wrapped)
	w.Raw(`"`)
	w.Name("createdAt")
	w.B = append(w.B, at...)
	return w.End(), nil
}

// decodeKeyRecord reads a value in the form in which Encode writes it. ok is false where it is in another.
func decodeKeyRecord(value string) (r KeyRecord, ok bool) {
	s := record.Scan(value)
	s.Members(func(name string) int {
		switch name {
		case "v":
			r.Version = s.Number()
			return 0
		case "keyId":
			r.ID = s.Text()
			return 1
		case "workspace":
			r.Workspace = s.Text()
			return 2
		case "objectType":
			r.Type = object.Type(s.Text())
			return 3
		case "objectId":
			r.ObjectID = s.Text()
			return 4
		case "master":
			r.Master = s.Text()
			return 5
		case "wrapped":
			r.Wrapped = s.Bytes()
			return 6
		case "createdAt":
			if text := s.Unescaped(); r.CreatedAt.UnmarshalText([]byte(text)) != nil {
				s.GiveUp()
			}
			return 7
		default:
			return -1
		}
	})
	return r, s.End()
}

// ParseKeyRecord reads a record's value. It ignores members that it does not know.
func ParseKeyRecord(value []byte) (*KeyRecord, error) {
	r, ok := decodeKeyRecord(string(value))
	if !ok {
		r = KeyRecord{}
		if err := json.Unmarshal(value, &r); err != nil {
			return nil, fmt.Errorf("parse subject key: %w", err)
		}
	}
	if r.Version < 1 || r.Version > RecordVersion {
		return nil, fmt.Errorf("parse subject key: version %d is not known, the newest known is %d", r.Version, RecordVersion)
	}
	return &r, nil
}
