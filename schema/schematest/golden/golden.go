// Package golden keeps records of the log as they were once written, and proves that today's code still reads them.
//
// A golden record is never changed: an installation's log has records of its form. So -update writes the files that
// are missing and leaves those that are there.
package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/throughline/throughline/schema/topic"
)

// Folder is where a package keeps its golden records.
const Folder = "testdata/golden"

// MasterKey is the master key that wrapped the data keys of sealed golden records.
const MasterKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

var update = flag.Bool("update", false, "write golden records that are missing")

// Record is a record of the log.
type Record struct {
	Topic   topic.Name     `json:"topic"`
	Key     string         `json:"key"`
	Headers []topic.Header `json:"headers"`
	// Value is the record's text, byte for byte; nil is a tombstone.
	Value *string `json:"value"`
}

// Of makes a Record of its parts; a nil value is a tombstone.
func Of(name topic.Name, key []byte, envelope *topic.Envelope, value []byte, more ...topic.Header) Record {
	r := Record{Topic: name, Key: string(key), Headers: more}
	if envelope != nil {
		r.Headers = envelope.Headers(more...)
	}
	if value != nil {
		s := string(value)
		r.Value = &s
	}
	return r
}

// Bytes is the record's value as a consumer gets it.
func (r Record) Bytes() []byte {
	if r.Value == nil {
		return nil
	}
	return []byte(*r.Value)
}

// Header is the value of a header, or "" where the record has none of that name.
func (r Record) Header(name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return h.Value
		}
	}
	return ""
}

// Read reads the golden record of a name from Folder. Where the file is missing and the test runs with -update, it is
// written first, from what today's code makes.
func Read(t *testing.T, name string, today func() Record) Record {
	t.Helper()
	path := filepath.Join(Folder, name+".json")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && *update {
		write(t, path, today())
	}
	return ReadFile(t, path)
}

// ReadFile reads a golden record of another package.
func ReadFile(t *testing.T, path string) Record {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden record (-update writes those that are missing): %v", err)
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatalf("read golden record %s: %v", path, err)
	}
	return r
}

func write(t *testing.T, path string, r Record) {
	t.Helper()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		t.Fatalf("write golden record: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatalf("write golden record: %v", err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatalf("write golden record: %v", err)
	}
}
