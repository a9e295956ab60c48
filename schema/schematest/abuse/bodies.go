package abuse

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// depth is beyond what any payload may have.
const depth = 129

// bodies sends bodies that are no bodies of the route.
func (a *attack) bodies() {
	if a.route.Body == "" {
		a.ignored()
		return
	}
	for why, body := range map[string]string{
		"nothing": "", "blanks": " \n\t ", "half an object": a.route.Body[:len(a.route.Body)/2], "an open brace": "{", "a word": "hello",
		"two values": a.route.Body + a.route.Body, "a comment": "/* */" + a.route.Body, "a byte order mark": "\ufeff" + a.route.Body,
		"a zero byte": "\x00", "a zero byte behind": a.route.Body + "\x00", "invalid UTF-8": "{\"\xff\":1}", "a surrogate alone": `{"\ud800":1}`,
		"a name twice": `{"name":1,"name":2}`, "single quotes": "{'name':'n'}", "not a number": `{"name":NaN}`,
		"very deep": strings.Repeat("[", 100_000), "deep and closed": strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000),
	} {
		statuses := []int{http.StatusBadRequest}
		if a.route.Streamed {
			statuses = append(statuses, http.StatusUnprocessableEntity)
		}
		if len(body) <= a.route.Limit && (body != "" || !a.route.Optional) {
			a.faulty(a.send(request{why: "a body of " + why, body: body}), statuses...)
		}
	}
	for why, body := range map[string]string{
		"null": "null", "a list": "[]", "a string": `"x"`, "a number": "1", "a huge number": "1e400", "true": "true",
		"an unknown member": `{"nobody":1}`, "a name in capitals": strings.ToUpper(a.route.Body[:2]) + a.route.Body[2:],
	} {
		if body != a.route.Body {
			a.faulty(a.send(request{why: "a body of " + why, body: body}), http.StatusUnprocessableEntity)
		}
	}
	for _, media := range []string{"text/plain", "application/xml", "multipart/form-data", "application/json; charset=latin1", "application", "\"", "a/b/c"} {
		a.refused(a.send(request{why: "content type " + media, body: a.route.Body, header: http.Header{"Content-Type": {media}}}),
			http.StatusUnsupportedMediaType)
	}
	a.tooLarge()
	a.encodings()
	a.members()
}

// ignored sends a body to a route that takes none: it makes no difference.
func (a *attack) ignored() {
	got := a.send(request{why: "a body for nobody", body: `{"name":"n"`})
	if got.status != a.route.Status {
		a.t.Errorf("%s: answered %d, want %d: %s", got.why, got.status, a.route.Status, got.body)
	}
}

// tooLarge sends more than the limit: announced, not announced, and compressed to next to nothing.
func (a *attack) tooLarge() {
	large := a.route.Body[:len(a.route.Body)-1] + strings.Repeat(" ", a.route.Limit) + "}"
	a.refused(a.send(request{why: "a large body", body: large}), http.StatusRequestEntityTooLarge)
	a.refused(a.send(request{why: "a large body in chunks", body: large, chunked: true}), http.StatusRequestEntityTooLarge)
	const bomb = 64 << 20
	for encoding, packed := range map[string]string{"gzip": packGzip(bomb), "zstd": packZstd(bomb)} {
		got := a.send(request{why: "a bomb of " + encoding, body: packed, header: http.Header{"Content-Encoding": {encoding}}})
		a.refused(got, http.StatusRequestEntityTooLarge)
	}
}

// encodings sends bodies that are not what they say they are.
func (a *attack) encodings() {
	packed := packGzip(100)
	for why, c := range map[string]struct {
		encoding, body string
		status         int
	}{
		"gzip that is none": {"gzip", a.route.Body, http.StatusBadRequest},
		"gzip cut short":    {"gzip", packed[:len(packed)-6], http.StatusBadRequest},
		"gzip of nothing":   {"gzip", "", http.StatusBadRequest},
		"zstd that is none": {"zstd", a.route.Body, http.StatusBadRequest},
		"zstd with a window of a GiB": {
			"zstd", "\x28\xb5\x2f\xfd\x00\xa0\x09\x00\x00" + a.route.Body, http.StatusBadRequest,
		},
		"two encodings":       {"gzip, gzip", packed, http.StatusUnsupportedMediaType},
		"an unknown encoding": {"br", a.route.Body, http.StatusUnsupportedMediaType},
	} {
		if c.body == "" && a.route.Optional {
			continue
		}
		got := a.send(request{why: why, body: c.body, header: http.Header{"Content-Encoding": {c.encoding}}})
		a.refused(got, c.status)
	}
}

// members puts every odd value into every member of the good body, one at a time. What is taken is taken; what is not is
// refused with the place.
func (a *attack) members() {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.route.Body), &members); err != nil {
		a.t.Fatalf("the good body is no object: %v", err)
	}
	for name := range members {
		for _, value := range []string{
			"null", "true", "0", "-1", "1.5", "1e400", strings.Repeat("9", 40), `""`, `"x"`, `"\u0000"`, `"\ud83d"`, `"0001-01-01T00:00:00Z"`,
			`"9999-12-31T23:59:59Z"`, `"<script>alert(1)</script>"`, `"` + strings.Repeat("x", 300) + `"`, "[]", "{}", "[null]", "[[]]", "[{}]", "[1]",
			`[{"objectType":1}]`, `[{"nobody":1}]`, `{"a":{"a":{}}}`, `{"a":1,"a":2}`, strings.Repeat("[", depth) + strings.Repeat("]", depth),
		} {
			changed := maps.Clone(members)
			changed[name] = json.RawMessage(value)
			got := a.send(request{why: name + " is " + value[:min(len(value), 30)], body: join(changed)})
			if got.status >= http.StatusBadRequest {
				a.faulty(got, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
			}
		}
	}
}

// join writes an object without looking at its members, which need not be JSON.
func join(members map[string]json.RawMessage) string {
	var b strings.Builder
	for name, value := range members {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + name + `":` + string(value))
	}
	return "{" + b.String() + "}"
}

// packGzip is so many blanks, packed.
func packGzip(n int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte(" "), n)) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.String()
}

func packZstd(n int) string {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<20))
	if err != nil {
		return err.Error() // no such options
	}
	_, _ = w.Write(bytes.Repeat([]byte(" "), n)) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.String()
}
