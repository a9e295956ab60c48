package event

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"
)

// scanner reads JSON as this package writes it, without reflection: link and the projector do it for every record, and
// encoding/json took half of their time. It gives up at whatever our writers never write, such as white space, null, a
// member twice or under a name that it does not know; the caller then asks encoding/json, whose word is the rule. So it
// is never wrong, only sometimes slow: FuzzDecodeAgreesWithEncodingJSON compares the two.
//
// Texts without escapes share the memory of the record's value.
type scanner struct {
	s  string
	at int
	// odd says that it has given up. Everything that is read then is empty.
	odd bool
	// buf is where a text with escapes is put together.
	buf []byte
}

func (s *scanner) giveUp() { s.odd = true }

// take passes over one character.
func (s *scanner) take(c byte) {
	if s.at >= len(s.s) || s.s[s.at] != c {
		s.giveUp()
		return
	}
	s.at++
}

// maybe passes over one character if it comes next.
func (s *scanner) maybe(c byte) bool {
	if s.odd || s.at >= len(s.s) || s.s[s.at] != c {
		return false
	}
	s.at++
	return true
}

// end says whether all was read, and nothing was odd.
func (s *scanner) end() bool { return !s.odd && s.at == len(s.s) }

// members calls member with the name of each member of an object, which reads the value and gives its number, less than
// 32; a negative one is that of a name which it does not know.
func (s *scanner) members(member func(name string) int) {
	s.take('{')
	var seen uint32
	for first := true; !s.odd; first = false {
		if !first && s.maybe('}') {
			return
		}
		if !first {
			s.take(',')
		}
		name := s.text()
		s.take(':')
		if s.odd {
			return
		}
		number := member(name)
		if number < 0 || seen>>number&1 != 0 {
			s.giveUp()
			return
		}
		seen |= 1 << number
	}
}

// items calls item for each item of an array that has one at least.
func (s *scanner) items(item func()) {
	s.take('[')
	for !s.odd {
		item()
		if s.maybe(']') {
			return
		}
		s.take(',')
	}
}

// text reads a string.
func (s *scanner) text() string {
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
				s.giveUp()
			}
			return t
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			s.giveUp()
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.giveUp()
	return ""
}

// escaped reads the rest of a string whose first backslash stands at i.
func (s *scanner) escaped(i int) string {
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
				s.giveUp()
			}
			return string(s.buf)
		case c == '\\':
			i = s.escape(i + 1)
		case c < ' ':
			s.giveUp()
		default:
			s.buf = append(s.buf, c)
			i++
		}
	}
	s.giveUp()
	return ""
}

// escape appends the character whose escape goes on at i, and gives the place behind it.
func (s *scanner) escape(i int) int {
	if i >= len(s.s) {
		s.giveUp()
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
		s.giveUp()
	}
	return i + 1
}

// codePoint appends the character with the four hexadecimal digits at i. A surrogate, which comes in pairs, is odd.
func (s *scanner) codePoint(i int) int {
	if i+4 > len(s.s) {
		s.giveUp()
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
			s.giveUp()
		}
	}
	if !utf8.ValidRune(r) {
		s.giveUp()
	}
	s.buf = utf8.AppendRune(s.buf, r)
	return i + 4
}

// number reads a whole number of at most nine digits.
func (s *scanner) number() int {
	start, n := s.at, 0
	for ; s.at < len(s.s) && '0' <= s.s[s.at] && s.s[s.at] <= '9'; s.at++ {
		n = n*10 + int(s.s[s.at]-'0')
		if s.at-start >= 9 {
			s.giveUp()
			return 0
		}
	}
	if s.at == start || s.s[start] == '0' && s.at > start+1 {
		s.giveUp()
	}
	return n
}

// bytes reads base64.
func (s *scanner) bytes() []byte {
	s.take('"')
	if s.odd {
		return nil
	}
	n := strings.IndexByte(s.s[s.at:], '"')
	if n <= 0 {
		s.giveUp()
		return nil
	}
	text := s.s[s.at : s.at+n]
	s.at += n + 1
	// The decoder passes over ends of lines, which may not stand in a string.
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		s.giveUp()
	}
	return b
}

// time reads a time in the one form in which times are written.
func (s *scanner) time() Time {
	text := s.text()
	const form = "2006-01-02T15:04:05.000Z"
	if len(text) != len(form) {
		s.giveUp()
		return Time{}
	}
	part := func(from, to int) int {
		n := 0
		for _, c := range []byte(text[from:to]) {
			if c < '0' || c > '9' {
				s.giveUp()
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	for i, c := range []byte(form) {
		if (c < '0' || c > '9') && text[i] != c {
			s.giveUp()
		}
	}
	year, month, day := part(0, 4), part(5, 7), part(8, 10)
	hour, minute, second, ms := part(11, 13), part(14, 16), part(17, 19), part(20, 23)
	t := time.Date(year, time.Month(month), day, hour, minute, second, ms*int(time.Millisecond), time.UTC)
	// A day that the month has not, or an hour that the day has not, would have been carried over.
	if s.odd || t.Day() != day || t.Month() != time.Month(month) || hour > 23 || minute > 59 || second > 59 || t.IsZero() {
		s.giveUp()
		return Time{}
	}
	return Time{t}
}
