package client

import (
	"strings"
	"unicode"
)

// Printable keeps what somebody sent from commanding a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\u200d' { // the joiner makes one emoji of several
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
