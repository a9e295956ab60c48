package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline/throughline/schema/problem"
)

// Items takes a batch apart into its items, each the bytes of one JSON value as the client sent it. In NDJSON an item is
// a line that is not blank; in JSON it is an element of the one member of an object, an array.
//
// A batch with more than limit items is a 413. In NDJSON a bad line is left to whoever reads the item; a JSON document
// that breaks off or has other members has no items, and is refused whole. Duplicate names and bad UTF-8 inside an item
// are left to the item's reader in both.
func Items(body []byte, media, member string, limit int) ([][]byte, error) {
	if media == NDJSON {
		return lines(body, limit)
	}
	items, err := elements(body, member, limit)
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return nil, malformed(body, syntax)
	}
	if errors.Is(err, io.EOF) {
		return nil, problem.New(problem.MalformedJSON, "The body is empty; a JSON value is expected.")
	}
	return items, err
}

func lines(body []byte, limit int) ([][]byte, error) {
	var items [][]byte
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		line = bytes.Trim(line, " \t\r")
		if len(line) == 0 {
			continue
		}
		if len(items) == limit {
			return nil, tooMany(limit)
		}
		items = append(items, line)
	}
	return items, nil
}

func elements(body []byte, member string, limit int) ([][]byte, error) {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err := begin(d, '{', "", "an object with the member "+member); err != nil {
		return nil, err
	}
	var items [][]byte
	found := false
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.String() != member {
			return nil, problem.Invalid(problem.At("/"+problem.Token(name.String()), "unknown member; the member here is "+member))
		}
		if found {
			return nil, problem.Newf(problem.MalformedJSON, "The name %q appears twice.", member)
		}
		found = true
		if items, err = array(d, body, member, limit); err != nil {
			return nil, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = problem.New(problem.MalformedJSON, "Something follows the JSON value.")
		}
		return nil, err
	}
	if !found {
		return nil, problem.Invalid(problem.At("/"+member, "is required"))
	}
	return items, nil
}

func array(d *jsontext.Decoder, body []byte, member string, limit int) ([][]byte, error) {
	if err := begin(d, '[', "/"+member, "an array"); err != nil {
		return nil, err
	}
	var items [][]byte
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		if len(items) == limit {
			return nil, tooMany(limit)
		}
		// The decoder's own slice is good until its next read; the same bytes stand in the body for as long as that.
		end := int(d.InputOffset())
		items = append(items, body[end-len(value):end])
	}
	_, err := d.ReadToken()
	return items, err
}

// begin reads the opening of a value of a kind.
func begin(d *jsontext.Decoder, kind jsontext.Kind, pointer, want string) error {
	if got := d.PeekKind(); got != kind && got != jsontext.KindInvalid {
		return problem.Invalid(problem.At(pointer, "expected "+want+", not "+kindName(got, nil)))
	}
	_, err := d.ReadToken()
	return err
}

func tooMany(limit int) error {
	return problem.New(problem.TooLarge, fmt.Sprintf("The batch has more than %d items; nothing was accepted.", limit))
}
