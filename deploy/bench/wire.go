package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerTimeout bounds one exchange: a server that hangs ends the run instead of hanging it.
const answerTimeout = 30 * time.Second

// wire is one connection that posts requests which were written down before. The machine is shared with the server under
// test, and the standard library's client would take as much of it as the server does.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
	body []byte
}

func dial(ctx context.Context, addr string) (*wire, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to server under test: %w", err)
	}
	return &wire{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}, nil
}

func (w *wire) close() { _ = w.conn.Close() } // nothing was left to be sent

// do sends one request and reads its answer, whose body is good until the next one.
func (w *wire) do(request []byte) (status int, body []byte, err error) {
	if err := w.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, nil, fmt.Errorf("set deadline: %w", err)
	}
	if _, err := w.conn.Write(request); err != nil {
		return 0, nil, fmt.Errorf("send request: %w", err)
	}
	status, length, err := w.head()
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	if cap(w.body) < length {
		w.body = make([]byte, length)
	}
	w.body = w.body[:length]
	if _, err := io.ReadFull(w.r, w.body); err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return status, w.body, nil
}

// head reads up to the body and says how long that is.
func (w *wire) head() (status, length int, err error) {
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%q is no status line", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("read status: %w", err)
	}
	length = -1
	for {
		if line, err = w.r.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, 0, fmt.Errorf("read length: %w", err)
			}
		}
	}
	if length < 0 {
		return 0, 0, errors.New("the answer does not say how long it is")
	}
	return status, length, nil
}
