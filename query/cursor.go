package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/throughline/throughline/schema/problem"
)

// cursorVersion is the first byte of every cursor.
const cursorVersion = 1

// fingerprintLength is how much of a hash binds a cursor to its list. It guards against mistakes, not against forgers:
// a forged cursor moves within what the key's workspace may read anyway.
const fingerprintLength = 8

// maxCursorLength bounds the text of a cursor. The longest key has three texts of 256 code points.
const maxCursorLength = 8 << 10

// cursor is a place in a list: the key of the last row that a page looked at. Keys are compared in SQL and never here.
type cursor struct {
	// Millis is the time of the key; lists without one leave it 0.
	Millis int64
	// Partition and Offset are those of keys that end with a place in the log.
	Partition int32
	Offset    int64
	// Texts are the other columns of the key, in order.
	Texts []string
}

// time is the time of the key.
func (c cursor) time() time.Time { return time.UnixMilli(c.Millis).UTC() }

// fingerprint binds a cursor to the list that made it: the route, the workspace, the filters and the order. The size of
// a page and the position to wait for may change from page to page.
func fingerprint(route string, parts ...[]string) []byte {
	h := sha256.New()
	write := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	write(route)
	for _, list := range parts {
		// A filter means any of its values, so their order is no difference.
		list = slices.Sorted(slices.Values(list))
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(list)))
		h.Write(n[:])
		for _, s := range list {
			write(s)
		}
	}
	return h.Sum(nil)[:fingerprintLength]
}

// timeText is a time as part of a fingerprint.
func timeText(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return []string{t.UTC().Format(time.RFC3339Nano)}
}

// encode writes the cursor as clients get it.
func (c cursor) encode(list []byte) string {
	b := append([]byte{cursorVersion}, list...)
	b = binary.AppendVarint(b, c.Millis)
	b = binary.AppendVarint(b, int64(c.Partition))
	b = binary.AppendVarint(b, c.Offset)
	for _, s := range c.Texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

var errCursor = errors.New("not a cursor")

// decodeCursor reads what encode wrote for the same list. texts is how many the key has.
func decodeCursor(text string, list []byte, texts int) (*cursor, error) {
	c, from, err := parseCursor(text, texts)
	if err != nil {
		return nil, problem.New(problem.BadCursor, "The cursor is not one that this route made.").WithCause(err)
	}
	if !bytes.Equal(from, list) {
		return nil, problem.New(problem.BadCursor,
			"The cursor belongs to another list: go on with the same path, filters and order that it was made with.")
	}
	return c, nil
}

func parseCursor(text string, texts int) (*cursor, []byte, error) {
	if len(text) > maxCursorLength {
		return nil, nil, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 1+fingerprintLength || b[0] != cursorVersion {
		return nil, nil, errCursor
	}
	list, b := b[1:1+fingerprintLength], b[1+fingerprintLength:]
	var numbers [3]int64
	for i := range numbers {
		n, width := binary.Varint(b)
		if width <= 0 {
			return nil, nil, errCursor
		}
		numbers[i], b = n, b[width:]
	}
	if int64(int32(numbers[1])) != numbers[1] || !inRange(numbers[0]) {
		return nil, nil, errCursor
	}
	c := &cursor{Millis: numbers[0], Partition: int32(numbers[1]), Offset: numbers[2]}
	for range texts {
		n, width := binary.Uvarint(b)
		if width <= 0 || n > uint64(len(b)-width) {
			return nil, nil, errCursor
		}
		c.Texts = append(c.Texts, string(b[width:width+int(n)]))
		b = b[width+int(n):]
	}
	if len(b) > 0 {
		return nil, nil, errCursor
	}
	return c, list, nil
}

// inRange says whether milliseconds lie in the years that the columns can hold.
func inRange(millis int64) bool {
	year := time.UnixMilli(millis).UTC().Year()
	return year >= 1900 && year < 2262
}
