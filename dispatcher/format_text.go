package dispatcher

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// joiner shows nothing and keeps what stands on its sides from being read as one.
	joiner = "\u2060"
	// ellipsis ends what was cut.
	ellipsis = "…"
)

// line makes one line of a text: without what cannot be seen or turns the direction of what follows, and with one blank
// for any white space.
func line(s string) string { return strings.Join(strings.Fields(visible(s)), " ") }

// lines keeps the line breaks of a text, at most one empty line in a row.
func lines(s string) string {
	var kept []string
	for l := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n").Replace(s)) {
		if l = line(l); l != "" || len(kept) > 0 && kept[len(kept)-1] != "" {
			kept = append(kept, l)
		}
	}
	return strings.TrimSpace(strings.Join(kept, "\n"))
}

// visible takes control characters out, and those that direct the writing: with them a text reads other than it is.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '\uFFFD'
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x200E, r == 0x200F, r == 0xFEFF:
			return -1
		default:
			return r
		}
	}, s)
}

// escaper writes the character that begins rest so that nothing is read into it. before is the character before it, or 0.
type escaper func(before, r rune, rest string) string

// escapeTo escapes a text and cuts it so that it has at most limit characters with its escapes. Characters are counted as
// the services count them, by UTF-16: those beyond the basic plane are two.
func escapeTo(s string, limit int, escape escaper) string {
	var out strings.Builder
	// room is what is left, with one kept for the ellipsis; fits is where the text can be cut.
	length, fits := 0, 0
	before := rune(0)
	for i, r := range s {
		next := escape(before, r, s[i:])
		length += utf16Length(next)
		if length > limit {
			return strings.TrimRight(out.String()[:fits], " ") + ellipsis
		}
		out.WriteString(next)
		if length < limit {
			fits = out.Len()
		}
		before = r
	}
	return out.String()
}

func utf16Length(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

// callsAll says whether a text begins with a word by which chats call everybody.
func callsAll(rest string) bool {
	for _, word := range []string{"@channel", "@here", "@everyone", "@all", "@team", "@group"} {
		if len(rest) >= len(word) && strings.EqualFold(rest[:len(word)], word) {
			return true
		}
	}
	return false
}

// span writes a length of time in its two greatest units: 34 s, 3 min 13 s, 2 h 5 min.
func span(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
	}
}

// seconds is a length of time that a body gives in seconds. What no conversation lasts is none.
func seconds(s *float64) time.Duration {
	if s == nil || !(*s > 0 && *s < 1e9) {
		return 0
	}
	return time.Duration(*s * float64(time.Second))
}

// count writes a number of things: 1 agent, 3 agents.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sentences joins what is there, each with a full stop.
func sentences(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, strings.TrimSuffix(p, ".")+".")
		}
	}
	return strings.Join(said, " ")
}
