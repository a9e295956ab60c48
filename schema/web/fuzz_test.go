package web_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/web"
)

func FuzzBodyStaysWithinItsLimit(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x02\x00\xfd\xff{}\x43\xbf\xa6\xa3\x02\x00\x00\x00"))
	f.Add("zstd", []byte("\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00{}\xa1\x04\xf7\x4d"))
	f.Add("zstd", []byte("\x28\xb5\x2f\xfd\x00\xa0\x09\x00\x00"))
	f.Add("", []byte("{}"))
	f.Add("br", []byte("{}"))
	const limit = 1 << 10
	f.Fuzz(func(t *testing.T, encoding string, sent []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(sent))
		r.Header.Set("Content-Encoding", encoding)
		held := int64(0)
		body, err := web.BodyWithin(r, limit, func(bytes int64) error {
			held += bytes
			return nil
		})
		if err == nil && int64(len(body)) > limit || held > 2*limit+64<<10+2 {
			t.Errorf("a body of %d bytes held %d", len(body), held)
		}
		if _, refused := errors.AsType[*problem.Problem](err); err != nil && !refused {
			t.Errorf("%v is no problem", err)
		}
	})
}

func FuzzItemsAreThoseOfTheBody(f *testing.F) {
	f.Add([]byte(`{"events":[{"a":1}, 2,"x",[],null]}`), true)
	f.Add([]byte(`{"events":[{"a":1,"a":2},"`+"\xff"+`"]}`), true)
	f.Add([]byte(`{"event":[]}`), true)
	f.Add([]byte("{\"a\":1}\n\r\n 2 \n\xff\n"), false)
	const limit = 5
	f.Fuzz(func(t *testing.T, body []byte, document bool) {
		media := web.NDJSON
		if document {
			media = web.JSON
		}
		items, err := web.Items(body, media, "events", limit)
		if _, refused := errors.AsType[*problem.Problem](err); err != nil && !refused {
			t.Errorf("%v is no problem", err)
		}
		if len(items) > limit {
			t.Errorf("%d items", len(items))
		}
		for rest := body; len(items) > 0; items = items[1:] {
			at := bytes.Index(rest, items[0])
			if at < 0 || len(items[0]) == 0 {
				t.Fatalf("%q is no part of the body, in order", items[0])
			}
			rest = rest[at+len(items[0]):]
		}
	})
}
