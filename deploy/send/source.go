package send

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// headLength is how much of a file's beginning tells it from another one.
const headLength = 64 << 10

// fingerprint tells whether a file is the one that was sent before.
type fingerprint struct {
	Size       int64     `json:"size"`
	ModifiedAt time.Time `json:"modifiedAt"`
	// Head is a hash of its first 64 KiB.
	Head string `json:"head"`
}

// source is an input.
type source struct {
	// name is as the person gave it; label is for people to read.
	name, label string
	r           io.Reader
	// file is nil for what can be read only once.
	file  *os.File
	print fingerprint
	// space makes the ids of its events its own.
	space string
}

// open opens an input. The caller closes it.
func open(name string, stdin io.Reader) (*source, error) {
	if name == Stdin {
		return &source{name: name, label: "standard input", r: stdin, space: rand.Text()}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder", name)
	case !info.Mode().IsRegular():
		return &source{name: name, label: name, r: f, space: rand.Text()}, nil
	default:
		s := &source{name: name, label: name, r: f, file: f, space: filepath.Base(name)}
		s.print = fingerprint{Size: info.Size(), ModifiedAt: info.ModTime().UTC()}
		if s.print.Head, err = head(f); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("open input: %w", errors.Join(err, f.Close()))
}

// head hashes the beginning of a file without moving in it.
func head(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, headLength)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// resumable says whether the input can be read again from a place in it.
func (s *source) resumable() bool { return s.file != nil }

// seek moves to a place.
func (s *source) seek(at mark) error {
	if at.Offset == 0 {
		return nil
	}
	if _, err := s.file.Seek(at.Offset, io.SeekStart); err != nil {
		return fmt.Errorf("go on in %s: %w", s.name, err)
	}
	return nil
}

func (s *source) close() error {
	if f, ok := s.r.(*os.File); ok && s.name != Stdin {
		return f.Close()
	}
	return nil
}
