package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/throughline/throughline/schema/problem"
)

// wireSlack is how much longer than its content a body may be on the wire:
// room for the headers of an encoding, not for an endless row of empty frames.
const wireSlack = 64 << 10

// zstdWindow bounds what a zstd frame may make us allocate. RFC 8878 asks
// decoders to support 8 MiB, and encoders not to exceed it.
const zstdWindow = 8 << 20

// JSONBody reads a body that must be JSON: MediaType, then Body.
func JSONBody(r *http.Request, limit int64) ([]byte, error) {
	if _, err := MediaType(r, JSON); err != nil {
		return nil, err
	}
	return Body(r, limit)
}

// Body reads the whole body, decompressing gzip and zstd. The limit, in bytes,
// applies to what comes out; beyond it the answer is a 413. A body that cannot
// be read or decompressed is a 400, an encoding we do not have a 415, and one
// that arrives too slowly a 408.
func Body(r *http.Request, limit int64) ([]byte, error) {
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	if (encoding == "" || encoding == "identity") && r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	wire := &wireReader{r: io.LimitReader(r.Body, limit+wireSlack)}
	content, closeContent, err := decompress(encoding, wire)
	if err != nil {
		return nil, bodyError(r, wire, encoding, err)
	}
	defer closeContent()
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, limit)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(content, limit+1))
	if n > limit {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, bodyError(r, wire, encoding, err)
	}
	return b.Bytes(), nil
}

// decompress returns the reader of an encoding and what releases it.
func decompress(encoding string, wire io.Reader) (io.Reader, func(), error) {
	switch encoding {
	case "", "identity":
		return wire, func() {}, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(wire)
		if err != nil {
			return nil, nil, fmt.Errorf("open gzip body: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(wire,
			zstd.WithDecoderConcurrency(1), // in this goroutine: requests are concurrent enough
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("open zstd body: %w", err)
		}
		return z, z.Close, nil
	default:
		p := problem.Newf(problem.UnsupportedMediaType,
			"The Content-Encoding %q is not supported; supported: gzip, zstd.", encoding)
		return nil, nil, p.WithHeader("Accept-Encoding", "gzip, zstd")
	}
}

// bodyError says whose fault it is that a body could not be read: the wire's,
// or that of an encoder.
func bodyError(r *http.Request, wire *wireReader, encoding string, err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	switch {
	case r.Context().Err() != nil:
		return fmt.Errorf("read body: %w", r.Context().Err())
	case errors.Is(wire.err, os.ErrDeadlineExceeded):
		return problem.New(problem.RequestTimeout, "").WithHeader("Connection", "close").WithCause(err)
	case wire.err != nil:
		return problem.New(problem.MalformedBody, "The body is cut short.").WithCause(err)
	default:
		return problem.Newf(problem.MalformedBody, "The body is not valid %s.", encoding).WithCause(err)
	}
}

func tooLarge(limit int64) error {
	return problem.Newf(problem.TooLarge, "The body is larger than %s, counted after decompression.", Size(limit))
}

// Size names a number of bytes as documents and problems do: 32 KiB, 8 MiB.
func Size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// wireReader remembers the error of the connection, which a decompressor above
// it may rename.
type wireReader struct {
	r   io.Reader
	err error
}

func (w *wireReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
