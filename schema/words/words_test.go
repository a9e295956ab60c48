package words_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline/throughline/schema/words"
)

func TestWordsAreWhatPeopleReadAsWords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":                          {"", nil},
		"marks of punctuation only":        {" ?!… — “”«»־׀،؟。、 ", nil},
		"case":                             {"Viewed HelpCenter ARTICLE", []string{"viewed", "helpcenter", "article"}},
		"each once":                        {"no No NO yes no", []string{"no", "yes"}},
		"ASCII punctuation":                {"page_view: 4,711 (e-mail) a.b/c@d", []string{"page", "view", "4", "711", "e", "mail", "a", "b", "c", "d"}},
		"typographic quotes":               {"“hello” ‘you’ „da“ «là» l’été", []string{"hello", "you", "da", "là", "l", "été"}},
		"dashes and dots":                  {"a—b–c…d·e", []string{"a", "b", "c", "d", "e"}},
		"case beyond ASCII":                {"ÄRGER ärger ΣΊΣΥΦΟΣ σίσυφος ПРИВЕТ", []string{"ärger", "σίσυφοσ", "привет"}},
		"sharp s":                          {"Straße STRASSE STRAẞE", []string{"strasse"}},
		"Turkish capital":                  {"İstanbul istanbul İSTANBUL", []string{"istanbul"}},
		"composed and decomposed":          {"caf\u00e9 cafe\u0301", []string{"café"}},
		"accents count":                    {"café cafe", []string{"café", "cafe"}},
		"marks in another order":           {"q\u0323\u0307 q\u0307\u0323", []string{"q\u0323\u0307"}},
		"Hebrew":                           {"שלום, עולם! „שלום“", []string{"שלום", "עולם"}},
		"Hebrew with points":               {"שָׁלוֹם", []string{"שָׁלוֹם"}},
		"Arabic":                           {"مرحبا، بالعالم؟", []string{"مرحبا", "بالعالم"}},
		"Arabic presentation forms":        {"\ufee3\ufeae\ufea3\ufe92\ufe8e مرحبا", []string{"مرحبا"}},
		"marks of direction":               {"\u202bשלום\u202c \u200fשלום\u200e", []string{"שלום"}},
		"Devanagari":                       {"हिन्दी में।", []string{"हिन्दी", "में"}},
		"joiners, soft hyphens":            {"co\u00adoperate می\u200cخواهم zero\u2060width", []string{"cooperate", "میخواهم", "zerowidth"}},
		"zero-width space":                 {"ភាសា\u200bខ្មែរ", []string{"ភាសា", "ខ្មែរ"}},
		"Chinese":                          {"你好，世界 ok了", []string{"你", "好", "世", "界", "ok", "了"}},
		"Japanese":                         {"ｶﾞｲﾄﾞ ガイド", []string{"ガ", "イ", "ド"}},
		"Korean":                           {"안녕하세요 세계", []string{"안녕하세요", "세계"}},
		"full-width":                       {"Ｈｅｌｌｏ　１２", []string{"hello", "12"}},
		"ligatures":                        {"ﬁnal ofﬁce", []string{"final", "office"}},
		"emoji beside a word":              {"great😀😀 💡idea", []string{"great", "😀", "💡", "idea"}},
		"emoji of several":                 {"👩\u200d💻 ❤\ufe0f ❤", []string{"👩", "💻", "❤"}},
		"skin tones":                       {"👍🏽 👍", []string{"👍"}},
		"trade mark":                       {"Acme™ ®", []string{"acme", "tm", "®"}},
		"fractions fold to several":        {"½", []string{"1", "2"}},
		"numbers of other scripts":         {"٤٧١١ ४७", []string{"٤٧١١", "४७"}},
		"what is not UTF-8":                {"a\xffb \xf0\x9f", []string{"a", "b"}},
		"controls":                         {"a\x00b\tc\nd\u0085e\u2028f", []string{"a", "b", "c", "d", "e", "f"}},
		"currency and maths are not words": {"€5 + $6 ≠ 7", []string{"5", "6", "7"}},
	} {
		if diff := cmp.Diff(c.want, words.Of(c.text)); diff != "" && len(c.want)+len(words.Of(c.text)) > 0 {
			t.Errorf("%s: %q (-want +got):\n%s", name, c.text, diff)
		}
	}
}

func TestAColumnHasTheWordsOfNameAndDescriptionAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[[2]string]string{
		{"Visited", ""}:                         "visited",
		{"Visited", "the Visited page"}:         "visited the page",
		{"a", "b"}:                              "a b",
		{"n", "<p>Hel<b>lo</b></p><p>you</p>"}:  "n hello you",
		{"n", "a < b & c &amp; d"}:              "n a b c amp d",
		{"n", "<b>R&amp;D</b> caf&eacute;"}:     "n r d café",
		{"n", "<a href='https://x.example'>y"}:  "n y",
		{"n", "<p>x<script>alert(1)</script>y"}: "n x y",
		{"<b>n</b>", "<unknown>"}:               "b n unknown",
	} {
		if got := words.Column(in[0], in[1]); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// check holds for every text: it is what makes a word that is seen a word that is found.
func check(t *testing.T, text string) {
	t.Helper()
	all := words.Of(text)
	for _, w := range all {
		if w == "" || strings.Contains(w, words.Separator) || !utf8.ValidString(w) {
			t.Fatalf("%q has the word %q", text, w)
		}
		// A word alone is itself: whoever copies it into a search finds it.
		if diff := cmp.Diff([]string{w}, words.Of(w)); diff != "" {
			t.Fatalf("the word %+q of %+q alone (-want +got):\n%s", w, text, diff)
		}
	}
	if again := words.Of(strings.Join(all, words.Separator)); !slices.Equal(again, all) {
		t.Fatalf("%+q: words %+q become %+q", text, all, again)
	}
	if upper := words.Of(cases.Fold().String(norm.NFD.String(text))); !slices.Equal(upper, all) {
		t.Fatalf("%+q: words %+q, of the text without case %+q", text, all, upper)
	}
}

func TestEveryCharacterHasStableWords(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		text := "a" + string(r) + "b"
		switch {
		case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.S, unicode.P, unicode.Z, unicode.Cc, unicode.Cf):
			continue // not assigned, or private
		case unicode.In(r, unicode.Han, unicode.Hangul) && r%61 != 0 && norm.NFKD.String(text) == text:
			continue // all alike
		case unicode.Is(unicode.Hangul, r) && r%61 != 0:
			continue
		}
		check(t, text)
		if !slices.Equal(words.Of(norm.NFD.String(text)), words.Of(norm.NFC.String(text))) {
			t.Errorf("%U: composed and decomposed texts have other words", r)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{
		"hello", "“hello” a—b", "שלום،", "İ\u0307\u0307", "Straße ﬁ ½ ™", "👩\u200d💻🏽", "a\xffb", "你好ｶﾞ", "\u0301\u0301", "q\u0307\u0323",
		strings.Repeat("\u0300", 70) + "a" + strings.Repeat("\u0323\u0301", 40), "\x9e\u034500", "ﷺ", "\u1e9e\u0345\u03b9", "㎏①",
	} {
		f.Add(s, "two Words")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		check(t, a)
		// Words do not depend on what stands beside them.
		want := words.Of(a)
		for _, w := range words.Of(b) {
			if !slices.Contains(want, w) {
				want = append(want, w)
			}
		}
		if got := words.Of(a + words.Separator + b); !slices.Equal(got, want) {
			t.Fatalf("%+q and %+q have %+q, together %+q", a, b, want, got)
		}
		// ASCII takes a short way, to the same words; the combining dot makes the text take the long one.
		if got := words.Of(a + " \u0307"); !slices.Equal(got, words.Of(a)) && !slices.Equal(got, append(words.Of(a), "\u0307")) {
			t.Fatalf("%+q has %+q, by the long way %+q", a, words.Of(a), got)
		}
	})
}

func TestTheTablesOfUnicodeAreThoseThatRowsWereMadeWith(t *testing.T) {
	t.Parallel()
	// Where this fails, a new Go or a new x/text has new tables: raise the version of the projection that stores words,
	// because the words of new characters change, and then this number.
	const want = "15.0.0"
	for name, got := range map[string]string{"unicode": unicode.Version, "norm": norm.Version, "cases": cases.UnicodeVersion} {
		if got != want {
			t.Errorf("%s has the tables of Unicode %s, want %s", name, got, want)
		}
	}
}

func BenchmarkColumn(b *testing.B) {
	for name, text := range map[string]string{
		"ascii":  "Viewed HelpCenter Article - How does it work? Twelve words or so, all plain.",
		"accent": "Ärger mit der Rechnung — “Wie geht’s?” zwölf Wörter oder so, fast alle schlicht.",
		"html":   "<p>Viewed <b>HelpCenter</b> Article</p><p>How does it work? Twelve words or so, all plain.</p>",
		"long":   strings.Repeat("Viewed HelpCenter Article - How does it work? ", 170),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				words.Column("Viewed page", text)
			}
		})
	}
}
