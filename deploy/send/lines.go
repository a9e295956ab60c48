package send

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line that is sent, in bytes, blanks included. The server takes items of 32 KiB, counted without the
// blanks around them, and says so itself; a line beyond twice that is refused here and read past, never held.
const maxLine = 64 << 10

// excerpt is how much is kept of a line that is too long, for people to find it by.
const excerpt = 1 << 10

// mark is a place between two lines.
type mark struct {
	// Offset is in bytes from the beginning.
	Offset int64 `json:"offset"`
	// Line is the number of lines before it, and Items the number of those that are not blank.
	Line  int64 `json:"line"`
	Items int64 `json:"items"`
}

// line is a line that is not blank.
type line struct {
	// from and to are the places before and after it.
	from, to mark
	// text is the line without the blanks around it; the beginning of it where it is too long.
	text []byte
	// length is that of the whole line, in bytes.
	length  int64
	tooLong bool
}

// number counts from 1.
func (l *line) number() int64 { return l.to.Line }

// lineReader reads lines that are not blank, as the server tells them apart.
type lineReader struct {
	r  *bufio.Reader
	at mark
}

func newLineReader(r io.Reader, at mark) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), at: at}
}

// next returns the next line, or io.EOF.
func (l *lineReader) next() (*line, error) {
	for {
		got, err := l.read()
		if err != nil {
			return nil, err
		}
		if len(got.text) > 0 {
			return got, nil
		}
	}
}

// read reads up to the end of a line, which may be blank.
func (l *lineReader) read() (*line, error) {
	got := &line{from: l.at}
	for {
		part, err := l.r.ReadSlice('\n')
		got.length += int64(len(part))
		if !got.tooLong {
			got.text = append(got.text, part...)
		}
		if len(got.text) > maxLine {
			got.text, got.tooLong = bytes.Clone(got.text[:excerpt]), true // lets go of the rest
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read line %d: %w", l.at.Line+1, err)
		}
		if got.length == 0 {
			return nil, io.EOF
		}
		break
	}
	if l.at.Offset == 0 {
		got.text = bytes.TrimPrefix(got.text, []byte("\xef\xbb\xbf")) // editors on Windows begin files so
	}
	got.text = bytes.Trim(got.text, " \t\r\n")
	l.at.Offset += got.length
	l.at.Line++
	if len(got.text) > 0 {
		l.at.Items++
	}
	got.to = l.at
	return got, nil
}
