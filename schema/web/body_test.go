package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func request(t *testing.T, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// typeOf is the type of the problem in an error, or what else it is.
func typeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return string(p.Type)
	}
	return err.Error()
}

func TestBody(t *testing.T) {
	t.Parallel()
	const limit = 1000
	fits, over := bytes.Repeat([]byte("x"), limit), bytes.Repeat([]byte("x"), limit+1)
	bomb := bytes.Repeat([]byte{0}, 4<<20)
	emptyFrames := bytes.Repeat(gzipped(t, nil), 10_000)
	tests := map[string]struct {
		body     []byte
		encoding string
		want     string
		length   int
	}{
		"as it is":                        {fits, "", "ok", limit},
		"identity":                        {fits, "identity", "ok", limit},
		"gzip":                            {gzipped(t, fits), "gzip", "ok", limit},
		"gzip by its old name":            {gzipped(t, fits), "X-GZIP", "ok", limit},
		"zstd":                            {zstandard(t, fits), "zstd", "ok", limit},
		"empty":                           {nil, "", "ok", 0},
		"one byte over":                   {over, "", "too-large", 0},
		"one byte over after gzip":        {gzipped(t, over), "gzip", "too-large", 0},
		"one byte over after zstd":        {zstandard(t, over), "zstd", "too-large", 0},
		"a gzip bomb":                     {gzipped(t, bomb), "gzip", "too-large", 0},
		"a zstd bomb":                     {zstandard(t, bomb), "zstd", "too-large", 0},
		"an endless row of empty members": {emptyFrames, "gzip", "malformed-body", 0},
		"not gzip":                        {fits, "gzip", "malformed-body", 0},
		"not zstd":                        {fits, "zstd", "malformed-body", 0},
		"gzip cut short":                  {gzipped(t, fits)[:20], "gzip", "malformed-body", 0},
		"zstd cut short":                  {zstandard(t, fits)[:12], "zstd", "malformed-body", 0},
		"an encoding we do not have":      {fits, "br", "unsupported-media-type", 0},
		"two encodings":                   {fits, "gzip, zstd", "unsupported-media-type", 0},
	}
	for name, tc := range tests {
		for _, sized := range []bool{true, false} {
			var reader io.Reader = bytes.NewReader(tc.body)
			if !sized {
				reader = struct{ io.Reader }{reader} // hides the length, as chunked encoding does
			}
			got, err := web.Body(request(t, reader, "Content-Encoding", tc.encoding), limit)
			if typeOf(err) != tc.want || len(got) != tc.length {
				t.Errorf("%s (sized %t): %d bytes, %s; want %d, %s", name, sized, len(got), typeOf(err), tc.length, tc.want)
			}
		}
	}
}

// stepwise gives its bytes in pieces and notes what was reserved when each was asked for.
type stepwise struct {
	data     []byte
	piece    int
	reserved *int64
	most     int64 // reserved above what had arrived
	arrived  int64
}

func (s *stepwise) Read(b []byte) (int, error) {
	s.most = max(s.most, *s.reserved-2*s.arrived)
	n := copy(b[:min(len(b), s.piece)], s.data)
	s.data, s.arrived = s.data[n:], s.arrived+int64(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestABodyReservesWhatHasArrivedAndNotWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	content := bytes.Repeat([]byte("0123456789abcdef"), limit/16)
	for name, tc := range map[string]struct {
		body      []byte
		encoding  string
		announced bool
	}{
		"announced": {content, "", true},
		"chunked":   {content, "", false},
		"gzip":      {gzipped(t, content), "gzip", true},
		"zstd":      {zstandard(t, content), "zstd", false},
	} {
		var reserved, peak int64
		reader := &stepwise{data: tc.body, piece: 10_000, reserved: &reserved}
		r := request(t, reader, "Content-Encoding", tc.encoding)
		r.ContentLength = -1
		if tc.announced {
			r.ContentLength = int64(len(tc.body))
		}
		got, err := web.BodyWithin(r, limit, func(n int64) error {
			reserved += n
			peak = max(peak, reserved)
			return nil
		})
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
		if reserved != int64(cap(got)) || reserved > limit+1 {
			t.Errorf("%s: %d bytes are reserved in the end, the body has %d", name, reserved, cap(got))
		}
		if reader.most > 4<<10 {
			t.Errorf("%s: %d bytes were reserved beyond twice what had arrived", name, reader.most)
		}
		if peak < int64(len(content)) || peak > 2*limit+(1<<20) {
			t.Errorf("%s: at most %d bytes were reserved", name, peak)
		}
	}
}

func TestABodyEndsWhereNothingIsLeftToReserve(t *testing.T) {
	t.Parallel()
	for encoding, body := range map[string][]byte{"": make([]byte, 100_000), "gzip": gzipped(t, make([]byte, 100_000))} {
		left := int64(10_000)
		_, err := web.BodyWithin(request(t, bytes.NewReader(body), "Content-Encoding", encoding), 1<<20, func(n int64) error {
			if n > left {
				return problem.Busy("full", 1)
			}
			left -= n
			return nil
		})
		if typeOf(err) != "unavailable" {
			t.Errorf("%q: %v, want what reserve said", encoding, err)
		}
	}
}

func TestAnUnsupportedEncodingNamesTheSupportedOnes(t *testing.T) {
	t.Parallel()
	_, err := web.Body(request(t, strings.NewReader("x"), "Content-Encoding", "br"), 10)
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Header.Get("Accept-Encoding") != "gzip, zstd" {
		t.Errorf("got %v", err)
	}
}

// failing is a connection that breaks after a few bytes.
type failing struct{ err error }

func (f failing) Read(b []byte) (int, error) { return copy(b, "{"), f.err }

func TestAConnectionThatBreaks(t *testing.T) {
	t.Parallel()
	if _, err := web.Body(request(t, failing{io.ErrUnexpectedEOF}), 10); typeOf(err) != "malformed-body" {
		t.Errorf("cut short: %v", err)
	}
	if _, err := web.Body(request(t, failing{deadline{}}), 10); typeOf(err) != "request-timeout" {
		t.Errorf("too slow: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := request(t, failing{errors.New("reset")}).WithContext(ctx)
	if _, err := web.Body(r, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("client gone: %v", err)
	}
}

// deadline is the error of a connection whose read deadline has passed.
type deadline struct{}

func (deadline) Error() string   { return "i/o timeout" }
func (deadline) Timeout() bool   { return true }
func (deadline) Temporary() bool { return true }
func (deadline) Is(err error) bool {
	return err.Error() == "i/o timeout"
}

func TestMediaType(t *testing.T) {
	t.Parallel()
	const refused = "unsupported-media-type"
	for header, want := range map[string]string{
		"":                                     web.JSON,
		"application/json":                     web.JSON,
		"Application/JSON; charset=UTF-8":      web.JSON,
		"application/json;charset=\"utf-8\"":   web.JSON,
		"application/vnd.acme.v1+json":         web.JSON,
		"application/x-ndjson":                 web.NDJSON,
		"application/json; charset=iso-8859-1": refused,
		"text/plain":                           refused,
		"application/x-www-form-urlencoded":    refused,
		"application/json; charset":            refused,
		"/":                                    refused,
	} {
		got, err := web.MediaType(request(t, nil, "Content-Type", header), web.JSON, web.NDJSON)
		if err != nil {
			got = typeOf(err)
			if !strings.Contains(err.Error(), "application/json, application/x-ndjson") {
				t.Errorf("%q: %v names no supported types", header, err)
			}
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", header, got, want)
		}
	}
	if got, err := web.MediaType(request(t, nil, "Content-Type", "application/vnd.x+json"), web.NDJSON); err == nil {
		t.Errorf("+json passed as %s where JSON is not supported", got)
	}
}

func TestSizesReadAsInTheDocuments(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{32 << 10: "32 KiB", 8 << 20: "8 MiB", 1000: "1000 bytes", 1<<20 + 1024: "1025 KiB"} {
		if got := web.Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
