// Package workspace holds what a workspace and its API keys are, in the log and at the edge.
package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/schema/object"
)

// RecordVersion is the version of the forms of records in this package. A reader refuses a greater one.
const RecordVersion = 1

// Status says whether a workspace may be used.
type Status string

// The statuses of a workspace. A suspended one answers 403 to all of its keys.
const (
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
)

// MaxNameLength is the greatest length of a workspace's or a key's name, in code points.
const MaxNameLength = 256

// MaxIDLength is the greatest length of a workspace's id, in bytes.
const MaxIDLength = 64

// Workspace is one customer of the installation. Its record in the topic workspaces has the workspace's id as key.
type Workspace struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	// TimeZone is an IANA name; days and weeks of reports begin in it.
	TimeZone  string    `json:"timeZone"`
	Status    Status    `json:"status"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// ValidateID says what is wrong with a workspace's id. Ids are never used again.
func ValidateID(id string) error {
	if id == "" || len(id) > MaxIDLength || strings.ContainsFunc(id, notOfID) {
		return fmt.Errorf("must be 1–%d of a–z, 0–9 and -", MaxIDLength)
	}
	return nil
}

func notOfID(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }

// Validate lists every rule that the workspace breaks.
func (w *Workspace) Validate() []object.Violation {
	var v []object.Violation
	if err := ValidateID(w.ID); err != nil {
		v = append(v, object.Violation{Pointer: "/id", Detail: err.Error()})
	}
	if n := utf8.RuneCountInString(w.Name); n > MaxNameLength {
		v = append(v, object.Violation{Pointer: "/name", Detail: fmt.Sprintf("has %d code points; at most %d are allowed", n, MaxNameLength)})
	}
	if err := validateZone(w.TimeZone); err != nil {
		v = append(v, object.Violation{Pointer: "/timeZone", Detail: err.Error()})
	}
	if w.Status != Active && w.Status != Suspended {
		v = append(v, object.Violation{Pointer: "/status", Detail: "must be ACTIVE or SUSPENDED"})
	}
	return v
}

func validateZone(name string) error {
	// LoadLocation takes "" for UTC and "Local" for the machine's own zone, which a record must not depend on.
	if name == "" || name == "Local" {
		return errors.New("must be an IANA time zone, such as Europe/Berlin")
	}
	if _, err := time.LoadLocation(name); err != nil {
		return errors.New("must be an IANA time zone, such as Europe/Berlin")
	}
	return nil
}

// ParseWorkspace reads a record's value. It ignores members that it does not know.
func ParseWorkspace(value []byte) (*Workspace, error) {
	var w Workspace
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, fmt.Errorf("parse workspace: %w", err)
	}
	if w.Version < 1 || w.Version > RecordVersion {
		return nil, fmt.Errorf("parse workspace: version %d is not known, the newest known is %d", w.Version, RecordVersion)
	}
	return &w, nil
}
