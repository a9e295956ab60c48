package seal

import (
	"bytes"
	"crypto/cipher"
	"fmt"
)

// maxPlain bounds what a sealed text may become when it is opened: the largest is an event's personal part, at most
// its 32 KiB with every byte escaped.
const maxPlain = 1 << 20

// maxFrame bounds the slices that are kept for the next sealed text.
const maxFrame = 64 << 10

// zipFrom is the length from which compressing pays: shorter texts grow. From zipLongFrom on a text is worth more time.
const (
	zipFrom     = 256
	zipLongFrom = 4 << 10
)

// The first byte of the plain text says how the rest is kept.
const (
	asIs   byte = 1
	zipped byte = 2
)

// DataKey seals and opens the personal fields of one subject. It is safe for concurrent use.
type DataKey struct {
	aead   cipher.AEAD
	master *Master
}

// Seal compresses and encrypts plain. additional binds the result to its record: opening needs the same bytes.
func (k *DataKey) Seal(plain, additional []byte) []byte {
	framed := append(make([]byte, 0, len(plain)+1), asIs)
	switch {
	case len(plain) >= zipLongFrom:
		framed[0] = zipped
		framed = k.master.zipLong.EncodeAll(plain, framed)
	case len(plain) >= zipFrom:
		framed[0] = zipped
		framed = k.master.zip.EncodeAll(plain, framed)
	default:
		framed = append(framed, plain...)
	}
	return k.aead.Seal(nil, nil, framed, additional) //nolint:gosec // the cipher makes a random nonce itself
}

// Open reverses Seal. It answers ErrKey for another key, another record's bytes, or bytes that were changed.
func (k *DataKey) Open(sealed, additional []byte) ([]byte, error) {
	frame, ok := k.master.frames.Get().(*[]byte)
	if !ok {
		frame = new([]byte)
	}
	framed, err := k.aead.Open((*frame)[:0], nil, sealed, additional)
	if err != nil {
		return nil, ErrKey
	}
	if cap(framed) <= maxFrame {
		*frame = framed
		defer k.master.frames.Put(frame)
	}
	if len(framed) == 0 {
		return nil, fmt.Errorf("open sealed bytes: %w", ErrKey)
	}
	switch framed[0] {
	case asIs:
		return bytes.Clone(framed[1:]), nil
	case zipped:
		plain, err := k.master.unzip.DecodeAll(framed[1:], nil)
		if err != nil {
			return nil, fmt.Errorf("decompress sealed bytes: %w", err)
		}
		return plain, nil
	default:
		return nil, fmt.Errorf("open sealed bytes: form %d is not known", framed[0])
	}
}
