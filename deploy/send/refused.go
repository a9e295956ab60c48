package send

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
)

// refusal is a line of the file of refusals.
type refusal struct {
	Line   int64           `json:"line"`
	Status int             `json:"status"`
	Title  string          `json:"title"`
	Detail string          `json:"detail,omitempty"`
	Errors []problem.Fault `json:"errors,omitempty"`
	// Item is the line as it stands in the input, without an id that was added; a string where it is not JSON.
	Item json.RawMessage `json:"item"`
}

func refuse(number int64, text []byte, status int, p *problem.Problem) refusal {
	r := refusal{Line: number, Status: status, Title: http.StatusText(status), Item: verbatim(text)}
	if p != nil {
		r.Title, r.Detail, r.Errors = p.Title, p.Detail, p.Errors
	}
	return r
}

// verbatim is a text as JSON: itself, or a string where it is not JSON in UTF-8.
func verbatim(text []byte) json.RawMessage {
	if json.Valid(text) && utf8.Valid(text) {
		return text
	}
	return quote(string(text))
}

func quote(text string) json.RawMessage {
	quoted, err := json.Marshal(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return json.RawMessage("null") // a string that is UTF-8 can always be written
	}
	return quoted
}

// refuseLong refuses a line that was not even read whole.
func refuseLong(l *line) refusal {
	p := problem.Newf(problem.TooLarge, "The line has %d bytes and was not sent; an item may have %d.", l.length, event.MaxEventBytes)
	r := refuse(l.number(), nil, p.Status, p)
	r.Item = quote(string(l.text) + "…")
	return r
}

// refusedFile is the file of refusals. It is made with the first of them.
type refusedFile struct {
	path  string
	file  *os.File
	bytes int64
}

// openRefused opens the file of refusals where an earlier run left it, with as many bytes as were noted: what was
// written after is written again. At the beginning, what another run left is removed.
func openRefused(path string, keep int64) (*refusedFile, error) {
	r := &refusedFile{path: path}
	if keep == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove old refusals: %w", err)
		}
		return r, nil
	}
	if err := r.make(); err != nil {
		return nil, err
	}
	end, err := r.file.Seek(0, io.SeekEnd)
	if err == nil && end > keep {
		err = r.file.Truncate(keep)
	}
	if err == nil {
		// Somebody may have taken the file away: then what is there is less.
		r.bytes, err = r.file.Seek(min(end, keep), io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("go on with refusals: %w", errors.Join(err, r.file.Close()))
	}
	return r, nil
}

func (r *refusedFile) make() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600) // it holds what the input holds: people's data
	if err != nil {
		return fmt.Errorf("open file of refusals: %w", err)
	}
	r.file = f
	return nil
}

// write appends refusals.
func (r *refusedFile) write(refusals []refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	if r.file == nil {
		if err := r.make(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read it
	for _, one := range refusals {
		if err := e.Encode(one); err != nil {
			return fmt.Errorf("encode refusal of line %d: %w", one.Line, err)
		}
	}
	n, err := r.file.Write(b.Bytes())
	r.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write refusals: %w", err)
	}
	return nil
}

// sync makes durable what was written.
func (r *refusedFile) sync() error {
	if r.file == nil {
		return nil
	}
	if err := r.file.Sync(); err != nil {
		return fmt.Errorf("write refusals: %w", err)
	}
	return nil
}

func (r *refusedFile) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
