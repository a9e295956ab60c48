package send

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// stateVersion is the version of the form of a state.
const stateVersion = 1

// state is how far a file was sent. It stays when all of it was, so that the same command does not send it again.
type state struct {
	Version int         `json:"version"`
	Kind    string      `json:"kind"`
	URL     string      `json:"url"`
	File    fingerprint `json:"file"`
	// Sent is the low-water mark: every line before it was accepted or refused, and every refusal before it is written.
	Sent mark `json:"sent"`
	// Refused is the number of refusals before the mark; RefusedBytes is the length of their file.
	Refused      int64     `json:"refused"`
	RefusedBytes int64     `json:"refusedBytes"`
	Complete     bool      `json:"complete"`
	UpdatedAt    time.Time `json:"updatedAt"`
}

// totals are what was sent up to the mark.
func (s *state) totals() Totals {
	return Totals{Accepted: s.Sent.Items - s.Refused, Refused: s.Refused}
}

// loadState reads a state; nil if there is none.
func loadState(path string) (*state, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read progress from %s: %w; --restart begins anew", path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("read progress from %s: version %d is not known; --restart begins anew", path, s.Version)
	}
	if s.Sent.Offset < 0 || s.Sent.Offset > s.File.Size || s.RefusedBytes < 0 {
		return nil, fmt.Errorf("read progress from %s: it makes no sense; --restart begins anew", path)
	}
	return &s, nil
}

// resume says from which state to go on: the one that was loaded, or a fresh one where it is of another file. It is an
// error where going on might leave lines out, and beginning anew might send them twice.
func (s *state) resume(fresh *state) (*state, error) {
	if s == nil {
		return fresh, nil
	}
	if s.File.Head != fresh.File.Head && s.Complete {
		return fresh, nil // another file of the same name
	}
	var changed string
	switch {
	case s.Kind != fresh.Kind:
		changed = fmt.Sprintf("was begun as %s, not as %s", s.Kind, fresh.Kind)
	case s.URL != fresh.URL:
		changed = fmt.Sprintf("was sent to %s, not to %s", s.URL, fresh.URL)
	case s.File.Head != fresh.File.Head, s.File.Size != fresh.File.Size, !s.File.ModifiedAt.Equal(fresh.File.ModifiedAt):
		changed = "has changed since it was sent"
	default:
		return s, nil
	}
	return nil, fmt.Errorf("the file %s, up to line %d; --restart sends all of it again", changed, s.Sent.Line)
}

// save writes the state in the place of the one before, whole or not at all.
func (s *state) save(path string) error {
	s.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("note progress: %w", err)
	}
	return nil
}

// replace gives a file a new content at once.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		// Without this a crash of the machine could leave an empty file under the name.
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
