package send

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readAll(t *testing.T, r *lineReader) []*line {
	t.Helper()
	var all []*line
	for {
		l, err := r.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func TestLinesAreCountedAsAnEditorDoes(t *testing.T) {
	t.Parallel()
	text := "\xef\xbb\xbf one\r\n\n \t \ntwo\n" + strings.Repeat("y", maxLine+1) + "\nthree"
	type seen struct {
		Text   string
		Number int64
		From   mark
		Long   bool
	}
	var got []seen
	for _, l := range readAll(t, newLineReader(strings.NewReader(text), mark{})) {
		got = append(got, seen{string(l.text[:min(len(l.text), 5)]), l.number(), l.from, l.tooLong})
	}
	long := int64(maxLine + 2)
	want := []seen{
		{"one", 1, mark{}, false},
		{"two", 4, mark{Offset: 14, Line: 3, Items: 1}, false},
		{"yyyyy", 5, mark{Offset: 18, Line: 4, Items: 2}, true},
		{"three", 6, mark{Offset: 18 + long, Line: 5, Items: 3}, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// From any place between two lines the rest reads the same.
	for i, w := range want {
		rest := readAll(t, newLineReader(strings.NewReader(text[w.From.Offset:]), w.From))
		if len(rest) != len(want)-i || rest[0].number() != w.Number || rest[0].from != w.From {
			t.Errorf("from %+v the rest is %d lines, the first %d", w.From, len(rest), rest[0].number())
		}
	}
}

func TestALineWithoutEndIsNotHeld(t *testing.T) {
	t.Parallel()
	endless := io.LimitReader(zeros{}, 64<<20)
	all := readAll(t, newLineReader(endless, mark{}))
	if len(all) != 1 || !all[0].tooLong || all[0].length != 64<<20 || cap(all[0].text) > 2*excerpt {
		t.Errorf("%d lines, the first with %d bytes of %d", len(all), cap(all[0].text), all[0].length)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func at(text string, number int64) *line {
	return &line{text: []byte(text), to: mark{Line: number}}
}

func TestAnEventGetsAnIDIfItHasNone(t *testing.T) {
	t.Parallel()
	s := &scanner{space: "in.ndjson", addIDs: true}
	id := s.lineID(at(`{"name":"n"}`, 1))
	for _, test := range []struct{ name, text, want string }{
		{"none", `{"name":"n"}`, `{"name":"n","id":"` + id + `"}`},
		{"its own", `{"id":"mine"}`, `{"id":"mine"}`},
		{"its own, of a wrong type", `{"id":7}`, `{"id":7}`},
		{"an empty one", `{"id":""}`, `{"id":""}`},
		{"null", `{"a":1,"id": null ,"b":2}`, `{"a":1,"id": "ID" ,"b":2}`},
		{"no members", `{}`, `{"id":"ID"}`},
		{"one further down", `{"payload":{"id":"x"}}`, `{"payload":{"id":"x"},"id":"ID"}`},
		{"an escaped name", `{"\u0069d":"mine"}`, `{"\u0069d":"mine"}`},
		{"another case", `{"ID":"x"}`, `{"ID":"x","id":"ID"}`},
		{"a name twice", `{"a":1,"a":2}`, `{"a":1,"a":2,"id":"ID"}`},
		{"no object", `[1]`, `[1]`},
		{"cut", `{"a":1,`, `{"a":1,`},
		{"something behind", `{"a":1} x`, `{"a":1} x`},
	} {
		i, _ := s.item(at(test.text, 1))
		want := strings.ReplaceAll(test.want, "ID\"", s.lineID(at(test.text, 1))+`"`)
		if test.name == "another case" {
			want = `{"ID":"x","id":"` + s.lineID(at(test.text, 1)) + `"}`
		}
		got := i.appendTo(nil)
		if string(got) != want+"\n" || len(got) != i.size() {
			t.Errorf("%s: got %s (size %d), want %s", test.name, got, i.size(), want)
		}
	}
	// Objects are named by what they are.
	i, _ := (&scanner{}).item(at(`{"name":"n"}`, 1))
	if got := string(i.appendTo(nil)); got != "{\"name\":\"n\"}\n" {
		t.Errorf("an object is sent as %s", got)
	}
}

func TestAnIDIsOfTheFileTheLineAndItsText(t *testing.T) {
	t.Parallel()
	// This very id is in systems that an interrupted run has sent to: it must not change.
	const fixed = "line-66d946f4c34581b69a536868ec3cf784"
	s := &scanner{space: "in.ndjson", addIDs: true}
	base := s.lineID(at(`{"name":"n"}`, 1))
	if base != fixed {
		t.Errorf("got %s, want %s", base, fixed)
	}
	other := &scanner{space: "out.ndjson", addIDs: true}
	for _, id := range []string{s.lineID(at(`{"name":"n"}`, 2)), s.lineID(at(`{"name":"m"}`, 1)), other.lineID(at(`{"name":"n"}`, 1))} {
		if id == base {
			t.Errorf("%s is the id of two lines", id)
		}
	}
}

func TestLinesAboutOneObjectGoTogether(t *testing.T) {
	t.Parallel()
	s := &scanner{addIDs: true}
	of := func(text string) uint64 {
		_, h := s.item(at(text, 1))
		return h
	}
	same := of(`{"objectType":"USER","objectId":"u1","name":"a"}`)
	for _, text := range []string{
		`{"name":"b","objectId":"u1","objectType":"AGENT"}`,
		`{"objectType":"user","objectId":"u1","externalId":"x"}`,
	} {
		if of(text) != same {
			t.Errorf("%s is not with the others", text)
		}
	}
	for _, text := range []string{
		`{"objectType":"USER","objectId":"u2"}`, `{"objectType":"CUSTOMER","objectId":"u1"}`, `{"objectType":"USER","externalId":"u1"}`,
	} {
		if of(text) == same {
			t.Errorf("%s is with the others", text)
		}
	}
}

func FuzzAnItemIsSentAsTheSameJSONWithAnID(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1}`, `{"id":null}`, `{"id":null,"id":null}`, `[`, `{"a":"\ud800"}`, `{"id":"x"} `, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, l := range readAll(t, newLineReader(bytes.NewReader(data), mark{})) {
			if l.tooLong {
				continue
			}
			s := &scanner{space: "f", addIDs: true}
			i, _ := s.item(l)
			sent := i.appendTo(nil)
			if len(sent) != i.size() || bytes.Count(sent, []byte("\n")) != 1 {
				t.Fatalf("%q is sent as %q", l.text, sent)
			}
			if i.patch == "" {
				if !bytes.Equal(sent[:len(sent)-1], l.text) {
					t.Fatalf("%q is sent as %q without an id", l.text, sent)
				}
				continue
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(sent, &members); err != nil {
				t.Fatalf("%q is sent as %q: %v", l.text, sent, err)
			}
		}
	})
}
