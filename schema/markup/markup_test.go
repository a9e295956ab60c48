package markup_test

import (
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/markup"
)

func TestTextIsWhatPeopleReadOfADescription(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"text":                     {"one\ntwo", "one\ntwo"},
		"text with entities":       {"a &amp; b", "a &amp; b"},
		"text with brackets":       {"a < b <someone@example.com>", "a < b <someone@example.com>"},
		"script only is text":      {"<script>x</script>", "<script>x</script>"},
		"entities":                 {"<b>R&amp;D</b> caf&eacute; &#x1F4D6;", "R&D café 📖"},
		"a word across elements":   {"<b>hel</b>lo", "hello"},
		"blocks":                   {"<p>one</p><p>two</p>three", " one  two three"},
		"breaks":                   {"one<br>two<br/>three<hr>four", "one two three four"},
		"list":                     {"<ul><li>one<li>two</ul>", "  one two "},
		"cells of a table":         {"<p><table><tr><td>one<td>two</table>", "    one two "},
		"attributes":               {`<a href="https://example.com/secret" title="x">one</a>`, "one"},
		"comments":                 {"<b>one</b><!-- two -->", "one"},
		"scripts and styles":       {"<b>one</b><script>two</script><style>b{}</style>three", "one    three"},
		"what is in an object":     {"<b>one</b><object><p>two<object>three</object></object>four", "one     four"},
		"an end without beginning": {"<b>one</b></object>two", "one two"},
		"capital tags":             {"<B>hel</B>lo<P>two", "hello two"},
	} {
		if got := markup.Text(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"text", "<b>x</b>", "<p>&amp;<br>", "<b", "<b><object><object></object>", "<!--><b>", "<textarea><b></textarea><i>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := markup.Text(s)
		if !markup.IsHTML(s) && text != s {
			t.Fatalf("text %q becomes %q", s, text)
		}
		if markup.IsHTML(s) && strings.Count(text, "") > 2*strings.Count(s, "") {
			t.Fatalf("%q grows to %q", s, text)
		}
	})
}
