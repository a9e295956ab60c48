package record

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Scanner reads JSON as Writer writes it, without reflection: every processor does it for every record, and encoding/json
// took half of their time. It gives up at whatever our writers never write, such as white space, null, a member twice or
// under a name that it does not know; the caller then asks encoding/json, whose word is the rule. So it is never wrong,
// only sometimes slow: the FuzzDecodeAgreesWithEncodingJSON of each package that has readers compares the two.
//
// Texts without escapes share the memory of the record's value.
type Scanner struct {
	s  string
	at int
	// odd says that it has given up. Everything that is read then is empty.
	odd bool
	// buf is where a text with escapes is put together.
	buf []byte
}

// Scan begins to read a record's value.
func Scan(value string) Scanner { return Scanner{s: value} }

// GiveUp leaves the value to encoding/json.
func (s *Scanner) GiveUp() { s.odd = true }

// take passes over one character.
func (s *Scanner) take(c byte) {
	if s.at >= len(s.s) || s.s[s.at] != c {
		s.GiveUp()
		return
	}
	s.at++
}

// maybe passes over one character if it comes next.
func (s *Scanner) maybe(c byte) bool {
	if s.odd || s.at >= len(s.s) || s.s[s.at] != c {
		return false
	}
	s.at++
	return true
}

// End says whether all was read, and nothing was odd.
func (s *Scanner) End() bool { return !s.odd && s.at == len(s.s) }

// Members calls member with the name of each member of an object, which reads the value and gives its number, less than
// 32; a negative one is that of a name which it does not know.
func (s *Scanner) Members(member func(name string) int) {
	s.take('{')
	var seen uint32
	for first := true; !s.odd; first = false {
		if !first && s.maybe('}') {
			return
		}
		if !first {
			s.take(',')
		}
		name := s.Text()
		s.take(':')
		if s.odd {
			return
		}
		number := member(name)
		if number < 0 || seen>>number&1 != 0 {
			s.GiveUp()
			return
		}
		seen |= 1 << number
	}
}

// Next passes over the name of a member, if that comes next; s begins with the object's beginning, or stands behind a
// member's value. It is for those who know the order of the members and need the first ones alone.
func (s *Scanner) Next(name string) bool {
	open := byte(',')
	if s.at == 0 {
		open = '{'
	}
	const punctuation = `,"":`
	end := s.at + len(punctuation) + len(name)
	if s.odd || end > len(s.s) || s.s[s.at] != open || s.s[s.at+1] != '"' || s.s[s.at+2:end-2] != name || s.s[end-2:end] != `":` {
		return false
	}
	s.at = end
	return true
}

// At is up to where the value was read, and whether nothing was odd.
func (s *Scanner) At() (int, bool) { return s.at, !s.odd }

// Items calls item for each item of an array that has one at least.
func (s *Scanner) Items(item func()) {
	s.take('[')
	for !s.odd {
		item()
		if s.maybe(']') {
			return
		}
		s.take(',')
	}
}

// Text reads a string.
func (s *Scanner) Text() string {
	s.take('"')
	if s.odd {
		return ""
	}
	ascii := true
	for i := s.at; i < len(s.s); i++ {
		switch c := s.s[i]; {
		case c == '"':
			t := s.s[s.at:i]
			s.at = i + 1
			if !ascii && !utf8.ValidString(t) {
				s.GiveUp()
			}
			return t
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			s.GiveUp()
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.GiveUp()
	return ""
}

// Unescaped reads a string that has no escapes.
func (s *Scanner) Unescaped() string {
	const quotes = 2
	start := s.at
	t := s.Text()
	if s.at-start != len(t)+quotes {
		s.GiveUp()
	}
	return t
}

// escaped reads the rest of a string whose first backslash stands at i.
func (s *Scanner) escaped(i int) string {
	if s.buf == nil {
		// As long as all that is left: a payload, the longest of the texts with escapes, is most of it.
		s.buf = make([]byte, 0, len(s.s)-s.at)
	}
	s.buf = append(s.buf[:0], s.s[s.at:i]...)
	for i < len(s.s) && !s.odd {
		switch c := s.s[i]; {
		case c == '"':
			s.at = i + 1
			if !utf8.Valid(s.buf) {
				s.GiveUp()
			}
			return string(s.buf)
		case c == '\\':
			i = s.escape(i + 1)
		case c < ' ':
			s.GiveUp()
		default:
			s.buf = append(s.buf, c)
			i++
		}
	}
	s.GiveUp()
	return ""
}

// escape appends the character whose escape goes on at i, and gives the place behind it.
func (s *Scanner) escape(i int) int {
	if i >= len(s.s) {
		s.GiveUp()
		return i
	}
	switch c := s.s[i]; c {
	case '"', '\\', '/':
		s.buf = append(s.buf, c)
	case 'b':
		s.buf = append(s.buf, '\b')
	case 'f':
		s.buf = append(s.buf, '\f')
	case 'n':
		s.buf = append(s.buf, '\n')
	case 'r':
		s.buf = append(s.buf, '\r')
	case 't':
		s.buf = append(s.buf, '\t')
	case 'u':
		return s.codePoint(i + 1)
	default:
		s.GiveUp()
	}
	return i + 1
}

// codePoint appends the character with the four hexadecimal digits at i. A surrogate, which comes in pairs, is odd.
func (s *Scanner) codePoint(i int) int {
	if i+4 > len(s.s) {
		s.GiveUp()
		return i
	}
	var r rune
	for _, c := range []byte(s.s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			s.GiveUp()
		}
	}
	if !utf8.ValidRune(r) {
		s.GiveUp()
	}
	s.buf = utf8.AppendRune(s.buf, r)
	return i + 4
}

// Number reads a whole number of at most nine digits.
func (s *Scanner) Number() int { return int(s.digits(9)) }

// Int reads a whole number of at most eighteen digits, which is not negative.
func (s *Scanner) Int() int64 { return s.digits(18) }

func (s *Scanner) digits(most int) int64 {
	start, n := s.at, int64(0)
	for ; s.at < len(s.s) && '0' <= s.s[s.at] && s.s[s.at] <= '9'; s.at++ {
		n = n*10 + int64(s.s[s.at]-'0')
		if s.at-start >= most {
			s.GiveUp()
			return 0
		}
	}
	if s.at == start || s.s[start] == '0' && s.at > start+1 {
		s.GiveUp()
	}
	return n
}

// Bool reads true or false.
func (s *Scanner) Bool() bool {
	if s.at < len(s.s) && s.s[s.at] == 'f' {
		s.literal("false")
		return false
	}
	return s.literal("true")
}

// literal passes over a text.
func (s *Scanner) literal(text string) bool {
	for i := range len(text) {
		s.take(text[i])
	}
	return !s.odd
}

// Bytes reads base64.
func (s *Scanner) Bytes() []byte {
	s.take('"')
	if s.odd {
		return nil
	}
	n := strings.IndexByte(s.s[s.at:], '"')
	if n <= 0 {
		s.GiveUp()
		return nil
	}
	text := s.s[s.at : s.at+n]
	s.at += n + 1
	// The decoder passes over ends of lines, which may not stand in a string.
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		s.GiveUp()
	}
	return b
}

// Time reads a time in the one form in which times are written.
func (s *Scanner) Time() time.Time {
	text := s.Text()
	const form = "2006-01-02T15:04:05.000Z"
	if len(text) != len(form) {
		s.GiveUp()
		return time.Time{}
	}
	part := func(from, to int) int {
		n := 0
		for _, c := range []byte(text[from:to]) {
			if c < '0' || c > '9' {
				s.GiveUp()
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	for i, c := range []byte(form) {
		if (c < '0' || c > '9') && text[i] != c {
			s.GiveUp()
		}
	}
	year, month, day := part(0, 4), part(5, 7), part(8, 10)
	hour, minute, second, ms := part(11, 13), part(14, 16), part(17, 19), part(20, 23)
	t := time.Date(year, time.Month(month), day, hour, minute, second, ms*int(time.Millisecond), time.UTC)
	// A day that the month has not, or an hour that the day has not, would have been carried over.
	if s.odd || t.Day() != day || t.Month() != time.Month(month) || hour > 23 || minute > 59 || second > 59 || t.IsZero() {
		s.GiveUp()
		return time.Time{}
	}
	return t
}

// Rest reads the last member's value: whatever stands before the object's end, if that is one value of JSON.
func (s *Scanner) Rest() json.RawMessage {
	last := len(s.s) - 1
	if last <= s.at || s.s[last] != '}' {
		s.GiveUp()
		return nil
	}
	raw := json.RawMessage(s.s[s.at:last])
	// The standard library bounds nesting at 10,000 levels of the whole, which take a byte at both ends.
	const maybeDeep = 16 << 10
	if len(raw) > maybeDeep || raw[0] <= ' ' || raw[len(raw)-1] <= ' ' || !json.Valid(raw) {
		s.GiveUp()
	}
	s.at = last
	return raw
}
