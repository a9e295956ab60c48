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
	return BodyWithin(r, limit, func(int64) error { return nil })
}

// BodyWithin is Body for a caller that counts memory. Before the body needs
// more, reserve is called with the bytes; its error must be a *problem.Problem
// and ends the read. Bytes given back are negative, and their error is ignored.
// What is reserved grows with what has arrived, not with what was announced, so
// that a client that sends slowly holds little. The caller releases the rest
// when it needs the body no more, also where there was an error.
func BodyWithin(r *http.Request, limit int64, reserve func(bytes int64) error) ([]byte, error) {
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	plain := encoding == "" || encoding == "identity"
	if plain && r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	wire := &wireReader{io.LimitedReader{R: r.Body, N: limit + wireSlack}, nil}
	if plain {
		body, err := gather(wire, limit, r.ContentLength, reserve)
		if err != nil {
			return nil, bodyError(r, wire, encoding, err)
		}
		return body, nil
	}
	if err := supported(encoding); err != nil {
		return nil, err
	}
	// A decoder holds megabytes. It gets to work when everything has arrived,
	// so that no client can keep it waiting.
	packed, err := gather(wire, limit+wireSlack, r.ContentLength, reserve)
	if err != nil {
		return nil, bodyError(r, wire, encoding, err)
	}
	defer func() { _ = reserve(-int64(cap(packed))) }()
	content, closeContent, err := decompress(encoding, bytes.NewReader(packed))
	if err != nil {
		return nil, bodyError(r, wire, encoding, err)
	}
	defer closeContent()
	body, err := gather(content, limit, -1, reserve)
	if err != nil {
		return nil, bodyError(r, wire, encoding, err)
	}
	return body, nil
}

// firstBytes is what a body is given before anything of it has arrived.
const firstBytes = 4 << 10

// gather reads to the end, which must come within limit bytes. announced is how
// many there should be, or -1. The capacity of what it returns is what it
// reserved.
func gather(r io.Reader, limit, announced int64, reserve func(bytes int64) error) ([]byte, error) {
	var b []byte
	for {
		if len(b) == cap(b) {
			// A byte more than there should be, so that the end is found
			// without growing again.
			size := min(max(firstBytes, 2*int64(cap(b))), limit+1)
			if announced >= int64(len(b)) {
				size = min(size, announced+1)
			}
			if err := reserve(size - int64(cap(b))); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return nil, tooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func supported(encoding string) error {
	switch encoding {
	case "gzip", "x-gzip", "zstd":
		return nil
	default:
		p := problem.Newf(problem.UnsupportedMediaType,
			"The Content-Encoding %q is not supported; supported: gzip, zstd.", encoding)
		return p.WithHeader("Accept-Encoding", "gzip, zstd")
	}
}

// decompress returns the reader of a supported encoding and what releases it.
func decompress(encoding string, packed io.Reader) (io.Reader, func(), error) {
	if encoding != "zstd" {
		z, err := gzip.NewReader(packed)
		if err != nil {
			return nil, nil, fmt.Errorf("open gzip body: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	}
	z, err := zstd.NewReader(packed,
		zstd.WithDecoderConcurrency(1), // in this goroutine: requests are concurrent enough
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, nil, fmt.Errorf("open zstd body: %w", err)
	}
	return z, z.Close, nil
}

// bodyError says whose fault it is that a body could not be read: the wire's,
// or that of an encoder.
func bodyError(r *http.Request, wire *wireReader, encoding string, err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	switch {
	// The deadlines of the connection and of the request's context may pass
	// together; it is the slow body that has to be told.
	case errors.Is(wire.err, os.ErrDeadlineExceeded):
		return problem.New(problem.RequestTimeout, "").WithHeader("Connection", "close").WithCause(err)
	case r.Context().Err() != nil:
		return fmt.Errorf("read body: %w", r.Context().Err())
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
	limited io.LimitedReader
	err     error
}

func (w *wireReader) Read(b []byte) (int, error) {
	n, err := w.limited.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
