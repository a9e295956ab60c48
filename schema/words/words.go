// Package words says what the words of a text are, for the projection that indexes them and for the query that looks for
// them. Both must come to the same words, so neither has rules of its own.
//
// A word is a run of letters, marks and digits of any script, whatever stands around it: “hello”, a—b and שלום، are read
// as people read them. Scripts that write words without spaces, Han and the Japanese syllabaries, give each character
// as a word, and so does every emoji, sign and pictograph. Words are compared without case (full folding: ß is ss), in
// compatibility form (NFKC: full-width letters are letters), and without the characters that show nothing, such as
// soft hyphens, joiners, marks of direction and skin tones. Accents count: é is not e.
//
// The tables of Unicode come with the Go version. Words of rows that are stored stay as they were made; the test
// TestTheTablesOfUnicodeAreThoseThatRowsWereMadeWith tells whoever changes them.
package words

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline/throughline/schema/markup"
)

// Separator stands between two words of a Column and never within one.
const Separator = " "

// Column is what the index of an event is built on: the words of its name and of its description, whether that is text
// or HTML, each once.
func Column(name, description string) string {
	return strings.Join(Of(name+Separator+markup.Text(description)), Separator)
}

// Of returns the words of a text, each once, in the order in which they first stand there.
func Of(text string) []string {
	if isASCII(text) {
		text = strings.ToLower(text)
	} else {
		text = fold(separate(text))
	}
	return split(text)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// separate takes out what shows nothing and sets symbols apart. That comes before folding, which would turn Acme™ into
// one word, acmetm; and after composing, for an arrow that is struck out is another character than the arrow.
func separate(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	afterSymbol := false
	for _, r := range norm.NFC.String(text) {
		if ignored(r) {
			continue
		}
		symbol := unicode.Is(unicode.So, r)
		if symbol || afterSymbol && !attaches(r) {
			out.WriteString(Separator)
		}
		out.WriteRune(r) // what is not UTF-8 becomes U+FFFD, a symbol that split leaves out
		afterSymbol = symbol || afterSymbol && attaches(r)
	}
	return out.String()
}

// attaches reports whether a character belongs to the one before it. The iota below a letter is a letter in other cases.
func attaches(r rune) bool { return unicode.IsMark(r) && r != '\u0345' }

// fold makes texts equal that differ in case or in how they are encoded. Folding the case of a decomposed letter may give
// what is not composed, and composing what has another case to fold, so that both are done twice, as the Unicode
// Standard has it (section 3.13, D146).
func fold(text string) string {
	folder := cases.Fold()
	text = norm.NFKC.String(folder.String(norm.NFD.String(text)))
	// The library folds Cherokee to and fro; its small letters are one form of it.
	text = strings.ToLower(folder.String(text))
	// The capital of the Turkish i folds to an i with a second dot, and its small letter has one.
	for strings.Contains(text, "i\u0307") {
		text = strings.ReplaceAll(text, "i\u0307", "i")
	}
	return norm.NFKC.String(text)
}

// split cuts a folded text into its words.
func split(text string) []string {
	const usual = 6 // bytes of a word, with what stands behind it
	all := make([]string, 0, len(text)/usual+1)
	start := -1    // of the word that is open
	alone := false // the open word takes no further letter
	for i, r := range text {
		class := classOf(r)
		if start >= 0 && (class == none || class == single || class == letter && alone) {
			all = append(all, text[start:i])
			start = -1
		}
		if start < 0 && class != none {
			start, alone = i, class == single
		}
	}
	if start >= 0 {
		all = append(all, text[start:])
	}
	return unique(all)
}

// class is what a character is to a word.
type class int

const (
	none   class = iota // stands between words
	letter              // of a word, with the letters around it
	mark                // of the character before it
	single              // a word of its own, with the marks after it
)

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' {
			return letter
		}
		return none
	}
	switch {
	case ignored(r), r == utf8.RuneError:
		return none
	case unicode.Is(unicode.So, r), unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
		return single
	case unicode.IsLetter(r), unicode.IsNumber(r):
		return letter
	case unicode.IsMark(r):
		return mark
	default:
		return none
	}
}

// zeroWidthSpace parts words where none should be seen, in Khmer and Thai for instance.
const zeroWidthSpace = '\u200B'

// ignored reports whether a character shows nothing, or only says how others are shown.
func ignored(r rune) bool {
	if r < utf8.RuneSelf || r == zeroWidthSpace {
		return false
	}
	skinTone := 0x1F3FB <= r && r <= 0x1F3FF
	return skinTone || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// few is how many words are compared with each other rather than put into a map.
const few = 32

// unique keeps the first of equal words.
func unique(all []string) []string {
	kept := all[:0]
	if len(all) <= few {
		for _, w := range all {
			if !slices.Contains(kept, w) {
				kept = append(kept, w)
			}
		}
		return kept
	}
	seen := make(map[string]struct{}, len(all))
	for _, w := range all {
		if _, ok := seen[w]; !ok {
			seen[w] = struct{}{}
			kept = append(kept, w)
		}
	}
	return kept
}
