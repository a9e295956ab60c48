// Package record writes and reads the JSON of the log's records by hand, for those that every request and every processor
// writes and reads: reflection took a third of their time and more. What Writer writes are the bytes of encoding/json, and
// what Scanner reads it reads as encoding/json does; each package that uses them has the fuzz tests that compare.
package record

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Writer appends JSON to B as encoding/json would write it.
type Writer struct{ B []byte }

// Begin begins an object of about so many bytes, which are allocated at once.
func Begin(size int) Writer { return Writer{B: append(make([]byte, 0, size), '{')} }

// End ends the object and gives its bytes.
func (w *Writer) End() []byte { return append(w.B, '}') }

// Raw appends a text as it is.
func (w *Writer) Raw(text string) { w.B = append(w.B, text...) }

// Name begins a member, of an object that has begun.
func (w *Writer) Name(name string) {
	if n := len(w.B); n == 0 || w.B[n-1] != '{' {
		w.B = append(w.B, ',')
	}
	w.B = append(w.B, '"')
	w.B = append(w.B, name...)
	w.B = append(w.B, '"', ':')
}

// Text appends a member that is a text.
func (w *Writer) Text(name, value string) {
	w.Name(name)
	w.String(value)
}

// Optional appends a member that is a text other than the empty one.
func (w *Writer) Optional(name, value string) {
	if value != "" {
		w.Text(name, value)
	}
}

// Int appends a member that is a whole number.
func (w *Writer) Int(name string, n int64) {
	w.Name(name)
	w.B = strconv.AppendInt(w.B, n, 10)
}

// OptionalInt appends a member that is a whole number other than zero.
func (w *Writer) OptionalInt(name string, n int64) {
	if n != 0 {
		w.Int(name, n)
	}
}

// Bool appends a member that is true or false.
func (w *Writer) Bool(name string, v bool) {
	w.Name(name)
	w.B = strconv.AppendBool(w.B, v)
}

// True appends a member where it is true.
func (w *Writer) True(name string, v bool) {
	if v {
		w.Bool(name, v)
	}
}

// Bytes appends a member that has bytes, in base64.
func (w *Writer) Bytes(name string, v []byte) {
	if len(v) > 0 {
		w.Name(name)
		w.B = append(w.B, '"')
		w.B = base64.StdEncoding.AppendEncode(w.B, v)
		w.B = append(w.B, '"')
	}
}

// Time appends a member that is a time to the millisecond, and nothing where it is zero.
func (w *Writer) Time(name string, t time.Time) {
	if !t.IsZero() {
		w.Name(name)
		w.B = AppendTime(w.B, t)
	}
}

// String appends a text alone. It leaves what has to be escaped, which is little, to encoding/json.
func (w *Writer) String(s string) {
	if plain(s) {
		w.B = append(w.B, '"')
		w.B = append(w.B, s...)
		w.B = append(w.B, '"')
		return
	}
	quoted, _ := json.Marshal(s) // no string is refused
	w.B = append(w.B, quoted...)
}

// plain says whether encoding/json writes a string as it is, between quotes.
func plain(s string) bool {
	// Eight characters at a time: descriptions are long and hardly ever have one that is escaped.
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64([]byte(s[:8]))
		if w&highs != 0 {
			break
		}
		// All are ASCII. Less than a space, or one of the five that are escaped:
		if (below(w, ' ')|equal(w, '"')|equal(w, '&')|equal(w, '<')|equal(w, '>')|equal(w, '\\'))&highs != 0 {
			return false
		}
	}
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '&', c == '<', c == '>', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	// Two separators are ends of lines in JavaScript, and so are escaped.
	return ascii || utf8.ValidString(s) && !strings.Contains(s, "\u2028") && !strings.Contains(s, "\u2029")
}

// ones and highs have the lowest and the highest bit of each of eight bytes.
const (
	ones  uint64 = 0x0101010101010101
	highs uint64 = 0x8080808080808080
)

// below sets the highest bit of bytes that are less than c, where all bytes and c are ASCII. A borrow can set more bits
// of a word, but only above a byte that is less.
func below(w uint64, c byte) uint64 { return w - ones*uint64(c) }

// equal sets the highest bit of bytes that are c, as below does.
func equal(w uint64, c byte) uint64 { return w ^ ones*uint64(c) - ones }

// TimeFormat is how times to the millisecond are written. It always writes three digits, so that texts of times sort as times do.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// Moment appends a member that is a time to the millisecond, and null where it is zero.
func (w *Writer) Moment(name string, t time.Time) {
	w.Name(name)
	if t.IsZero() {
		w.Raw("null")
		return
	}
	w.B = AppendTime(w.B, t)
}

// AppendTime appends a time between quotes.
func AppendTime(b []byte, t time.Time) []byte {
	utc := t.UTC()
	year, month, day := utc.Date()
	if year < 0 || year > 9999 {
		return utc.AppendFormat(b, `"`+TimeFormat+`"`)
	}
	hour, minute, second := utc.Clock()
	b = append(b, '"', digit(year/1000), digit(year/100), digit(year/10), digit(year),
		'-', digit(int(month)/10), digit(int(month)), '-', digit(day/10), digit(day),
		'T', digit(hour/10), digit(hour), ':', digit(minute/10), digit(minute), ':', digit(second/10), digit(second))
	ms := utc.Nanosecond() / int(time.Millisecond)
	return append(b, '.', digit(ms/100), digit(ms/10), digit(ms), 'Z', '"')
}

// digit is the last decimal digit of n. Every record has several times, and reading a format for each took longer than
// everything else that is written.
func digit(n int) byte { return byte('0' + n%10) }
