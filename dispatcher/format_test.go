package dispatcher

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/webhook"
)

// update is the flag that package golden has defined.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

// bodies are the bodies of testdata, one for each type of event at least, by their names.
func bodies(tb testing.TB) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob("testdata/formats/*.body.json")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no bodies: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".body.json")] = text
	}
	return all
}

func TestEveryTypeOfEventIsWrittenForSlackAndForTeams(t *testing.T) {
	t.Parallel()
	types := map[string]bool{}
	for name, body := range bodies(t) {
		var b toldBody
		if err := json.Unmarshal(body, &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		types[b.Type] = true
		for _, format := range []string{webhook.FormatSlack, webhook.FormatTeams} {
			got, err := render(format, body)
			if err != nil {
				t.Fatalf("%s for %s: %v", name, format, err)
			}
			checkMessage(t, format, got)
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, append(got, '\n'), "", "  "); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "formats", name+"."+format+".json")
			if update() {
				if err := os.WriteFile(path, pretty.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; go test -run %s -update writes it", err, t.Name())
			}
			if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
				t.Errorf("%s for %s (-want +got):\n%s", name, format, diff)
			}
		}
	}
	for _, name := range webhook.EventTypes() {
		if !types[name] {
			t.Errorf("there is no body of %s", name)
		}
	}
}

func TestABodyForNoServiceIsPostedAsItIs(t *testing.T) {
	t.Parallel()
	body := []byte(`{"type":"event.linked"}`)
	if got, err := render(webhook.FormatJSON, body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %s: %v", got, err)
	}
}

func TestATypeThatIsNotKnownIsToldOfByItsName(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"type":"conversation.<merged>","data":{}}`, `{"type":"conversation.<merged>","data":7}`} {
		got, err := render(webhook.FormatSlack, []byte(body))
		if err != nil || !strings.Contains(string(got), "conversation.&lt;merged&gt;") {
			t.Errorf("got %s: %v", got, err)
		}
	}
}

func plainRune(_, r rune, _ string) string { return string(r) }

func TestWhatIsCutStaysWithinItsLimitAndIsNotCutInAnEscape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, want string
		limit    int
		escape   escaper
	}{
		{"abcdef", "abcdef", 6, plainRune},
		{"abcdefg", "abcde…", 6, plainRune},
		{"abcd efg", "abcd…", 6, plainRune},
		{"a&b", "a&amp;b", 7, slackRune},
		{"a&bc", "a&amp;…", 7, slackRune},
		{"ab&c", "ab…", 7, slackRune},
		{"😀😀", "😀…", 3, plainRune},
		{"a_b", `a\_b`, 4, teamsRune},
		{"a_bc", `a\_…`, 4, teamsRune},
		{"1. x", `1\. x`, 9, teamsRune},
		{"1.5 x", `1.5 x`, 9, teamsRune},
		{"<at>Anna</at>", "<" + joiner + "at>Anna<" + joiner + "/at>", 99, teamsRune},
		{"{{DATE(x)}}", "{" + joiner + "{DATE(x)}}", 99, teamsRune},
		{"&lt;at&gt;", `\&lt;at\&gt;`, 99, teamsRune},
		{"AT&T", "AT&T", 99, teamsRune},
		{"@Channel", "@" + joiner + "Channel", 99, slackRune},
		{"a@b.example", "a@b.example", 99, slackRune},
	} {
		if got := escapeTo(tt.in, tt.limit, tt.escape); got != tt.want || utf16Length(got) > tt.limit {
			t.Errorf("%q in %d: got %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestTextsHaveNoCharactersThatMislead(t *testing.T) {
	t.Parallel()
	if got := line("a\x00b\u202ec\r\n\t d\u2028e\ufefff\xff"); got != "abc d ef\uFFFD" {
		t.Errorf("got %q", got)
	}
	if got := lines("a\r\n\r\n\r\n\r\nb \x07 c\rd\n\n"); got != "a\n\nb c\nd" {
		t.Errorf("got %q", got)
	}
}

// slackTimes are the only things in angle brackets that a message has: our own.
var slackTimes = regexp.MustCompile(`<!date\^[0-9]+\^[a-z_{} ]+\|[0-9: UTC-]+>`)

// checkMessage checks what must hold of a message whatever it tells of.
func checkMessage(tb testing.TB, format string, message []byte) {
	tb.Helper()
	switch format {
	case webhook.FormatSlack:
		checkSlack(tb, message)
	case webhook.FormatTeams:
		checkTeams(tb, message)
	}
}

func checkSlack(tb testing.TB, message []byte) {
	tb.Helper()
	var m slackMessage
	if err := strict(message, &m); err != nil {
		tb.Fatalf("not a message: %v: %s", err, message)
	}
	total := 0
	check := func(what, text string, limit int) {
		total += utf16Length(text)
		if n := utf16Length(text); n < 1 || n > limit {
			tb.Errorf("%s has %d characters, want 1 to %d", what, n, limit)
		}
		rest := slackTimes.ReplaceAllString(text, "")
		if strings.Contains(rest, "<") || strings.Contains(strings.ReplaceAll(rest, "\n>", ""), "\n<") {
			tb.Errorf("%s has a bracket that is not escaped: %q", what, text)
		}
		for _, word := range []string{"@channel", "@here", "@everyone"} {
			if strings.Contains(strings.ToLower(rest), word) {
				tb.Errorf("%s calls everybody: %q", what, text)
			}
		}
	}
	check("the text", m.Text, 3000)
	total = 0
	if len(m.Blocks) == 0 || len(m.Blocks) > 50 {
		tb.Errorf("%d blocks", len(m.Blocks))
	}
	for _, b := range m.Blocks {
		texts := slices.Concat(b.Fields, b.Elements)
		limit := map[string]int{"header": 150, "section": 3000, "context": 3000}[b.Type]
		if b.Text != nil {
			check(b.Type, b.Text.Text, limit)
			texts = append(texts, *b.Text)
		}
		if len(b.Fields) > 10 || len(b.Elements) > 10 || len(texts) == 0 {
			tb.Errorf("%s has %d fields and %d elements", b.Type, len(b.Fields), len(b.Elements))
		}
		for _, f := range b.Fields {
			check("field", f.Text, 2000)
		}
		for _, e := range b.Elements {
			check("element", e.Text, 3000)
		}
		for _, o := range texts {
			if plain := o.Type == "plain_text"; plain != (b.Type == "header") || !plain && (o.Verbatim == nil || !*o.Verbatim) {
				tb.Errorf("%s has a text of type %s", b.Type, o.Type)
			}
		}
	}
	if total > 13_000 {
		tb.Errorf("all blocks together have %d characters", total)
	}
}

func checkTeams(tb testing.TB, message []byte) {
	tb.Helper()
	if len(message) > maxTeamsBytes {
		tb.Errorf("the message has %d bytes", len(message))
	}
	var m teamsMessage
	if err := strict(message, &m); err != nil {
		tb.Fatalf("not a message: %v: %s", err, message)
	}
	text := string(message)
	if strings.Contains(text, "<at") || strings.Contains(text, "</at") || strings.Contains(text, `"entities"`) {
		tb.Errorf("the message may mention somebody: %s", text)
	}
	if len(m.Attachments) != 1 || len(m.Attachments[0].Content.Body) == 0 || m.Attachments[0].Content.Version != "1.4" {
		tb.Errorf("the message has no card: %s", text)
	}
}

func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// FuzzMessages looks for content that breaks a message: its form, a limit, or a mention that is smuggled in. Each string of
// the bodies of testdata is replaced by what the fuzzer finds.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		"<!channel>", "<@U123>", "@everyone & <at>x</at>", "&lt;!here&gt;", "{{DATE(x)}}", "[a](https://b)", "\\", "\u2028\u202e",
		strings.Repeat("<", 4000), strings.Repeat("\\", 9000), strings.Repeat("😀", 5000), strings.Repeat("\n", 4000),
		strings.Repeat("a\n", 4000), strings.Repeat("\"", 5000), strings.Repeat("<\n", 5000), "\xff\xfe", "", " ", "1. a\n# b\n- c", "`*_~`",
	} {
		f.Add(seed)
	}
	all := bodies(f)
	f.Fuzz(func(t *testing.T, content string) {
		for name, body := range all {
			var b any
			if err := json.Unmarshal(body, &b); err != nil {
				t.Fatal(err)
			}
			b = replaceStrings(b, content)
			text, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, format := range []string{webhook.FormatSlack, webhook.FormatTeams} {
				got, err := render(format, text)
				if err != nil {
					t.Fatalf("%s for %s: %v", name, format, err)
				}
				checkMessage(t, format, got)
			}
		}
		for _, format := range []string{webhook.FormatSlack, webhook.FormatTeams} {
			got, err := render(format, []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			checkMessage(t, format, got)
		}
	})
}

// replaceStrings replaces every string of a body but for types and times, which say how it is read.
func replaceStrings(v any, with string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name != "type" && name != "timestamp" && name != "from" && !strings.HasSuffix(name, "At") && name != "failingSince" {
				v[name] = replaceStrings(member, with)
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = replaceStrings(v[i], with)
		}
		return v
	case string:
		return with
	default:
		return v
	}
}
