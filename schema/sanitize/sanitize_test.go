package sanitize

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	parser "golang.org/x/net/html"

	"github.com/throughline/throughline/schema/markup"
	"github.com/throughline/throughline/schema/words"
)

func TestDescriptionsAreServedSafely(t *testing.T) {
	t.Parallel()
	s := New()
	for name, c := range map[string]struct{ in, want string }{
		"plain text":                  {"Viewed the article", "Viewed the article"},
		"line breaks of text":         {"one\ntwo\r\nthree\rfour", "one<br>two<br>three<br>four"},
		"text that looks like maths":  {"a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"},
		"a heart":                     {"I <3 you", "I &lt;3 you"},
		"unknown element only":        {"mail <someone@example.com>", "mail &lt;someone@example.com&gt;"},
		"script only is text":         {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		"element inside a comment":    {"<!-- <b> -->", "&lt;!-- &lt;b&gt; --&gt;"},
		"element inside a script":     {"<script><b></script>", "&lt;script&gt;&lt;b&gt;&lt;/script&gt;"},
		"allowed element":             {"<b>bold</b> & more", "<b>bold</b> &amp; more"},
		"script beside allowed":       {"<p>x</p><script>alert(1)</script>", "<p>x</p>"},
		"event handler":               {`<p onclick="x()">x</p>`, "<p>x</p>"},
		"style":                       {`<p style="position:fixed">x</p><style>p{}</style>`, "<p>x</p>"},
		"image":                       {`<p>x<img src=x onerror=alert(1)></p>`, "<p>x</p>"},
		"https link":                  {`<a href="https://example.com/?a=1&b=2">x</a>`, `<a href="https://example.com/?a=1&amp;b=2" rel="nofollow noopener" target="_blank">x</a>`},
		"http link":                   {`<a href="http://example.com">x</a>`, "x"},
		"script link":                 {`<a href="javascript:alert(1)">x</a>`, "x"},
		"script link in disguise":     {"<a href=\"java\tscript:alert(1)\">x</a>", "x"},
		"data link":                   {`<a href="data:text/html,x">x</a>`, "x"},
		"relative link":               {`<a href="/v1/objects">x</a>`, "x"},
		"author's rel and target":     {`<a href="https://e.com" rel="opener" target="_top">x</a>`, `<a href="https://e.com" rel="nofollow noopener" target="_blank">x</a>`},
		"left open":                   {"<div><b>x", "<div><b>x</b></div>"},
		"end without a beginning":     {"<b>x</b></div></body>", "<b>x</b>"},
		"crossed":                     {"<b><i>x</b></i>", "<b><i>x</i></b>"},
		"self-closed":                 {"<b/>x", "<b>x</b>"},
		"breaks":                      {"a<br>b<br/>c<hr>", "a<br>b<br>c<hr>"},
		"right to left":               {"<p>שלום עולם</p>", "<p>שלום עולם</p>"},
		"right to left text":          {"مرحبا\nبك", "مرحبا<br>بك"},
		"emoji":                       {"👩‍👩‍👧 <b>😀</b>", "👩‍👩‍👧 <b>😀</b>"},
		"foreign content":             {"<b>x</b><svg><script>alert(1)</script></svg>", "<b>x</b>"},
		"foreign style":               {`<b>x</b><math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>`, "<b>x</b>"},
		"entities stay what they are": {"<p>&lt;script&gt;</p>", "<p>&lt;script&gt;</p>"},
	} {
		got := s.Description(c.in)
		if got != c.want {
			t.Errorf("%s: %q\n got %q\nwant %q", name, c.in, got, c.want)
		}
		// What is shown is what is found, and nothing else.
		shown, found := words.Of(markup.Text("<p>"+got)), words.Of(markup.Text(c.in))
		if diff := cmp.Diff(shown, found, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: words (-shown +found):\n%s", name, diff)
		}
	}
}

// safeAttribute is what the values of allowed attributes look like.
func safeAttribute() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"href":   regexp.MustCompile(`^https://`),
		"rel":    regexp.MustCompile(`^nofollow noopener$`),
		"target": regexp.MustCompile(`^_blank$`),
	}
}

func FuzzDescription(f *testing.F) {
	for _, s := range []string{
		"text", "a < b", "<b>x</b>", "<a href='https://e.com'>x</a>", "<p><script>x</script>", "<b><i></b></i>", "<b/><br/>",
		"<svg><b><style><!--</style><img src=x onerror=alert(1)>", "<a href=\"jav&#x0A;ascript:alert(1)\">x</a>", "<p\x00>",
		"<textarea><b></textarea><b>", "<plaintext><b>", "<b a='>'>", "<!--><b>", "<![CDATA[<b>]]>", "<noscript><b title='</noscript><img>'>",
	} {
		f.Add(s)
	}
	s := New()
	names := strings.Join(markup.Elements(), " ") + " "
	f.Fuzz(func(t *testing.T, text string) {
		out := s.Description(text)
		if len(out) > 40*len(text)+64 {
			t.Fatalf("%d bytes became %d", len(text), len(out))
		}
		// What a browser makes of it has nothing that is not allowed.
		nodes, err := parser.ParseFragment(strings.NewReader(out), &parser.Node{Type: parser.ElementNode, Data: "div", DataAtom: 0})
		if err != nil {
			return // deeper than the parser goes; nothing was built
		}
		for _, n := range nodes {
			inspect(t, text, names, n)
		}
		// It stays inside the element that it is put into.
		if again := balance(out); again != out {
			t.Errorf("%q gave %q, which is not balanced: %q", text, out, again)
		}
	})
}

func inspect(t *testing.T, text, names string, n *parser.Node) {
	t.Helper()
	safe := safeAttribute()
	if n.Type == parser.ElementNode {
		if !strings.Contains(names, n.Data+" ") {
			t.Errorf("%q gave the element %s", text, n.Data)
		}
		for _, a := range n.Attr {
			if want := safe[a.Key]; want == nil || n.Data != "a" || !want.MatchString(strings.ToLower(a.Val)) {
				t.Errorf("%q gave %s with %s=%q", text, n.Data, a.Key, a.Val)
			}
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		inspect(t, text, names, c)
	}
}
