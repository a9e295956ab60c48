package conversation

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"
)

// Remember is how long a command id is kept at least, by the times of receipt; as long as the conversation is open it is
// kept in any case.
const Remember = 24 * time.Hour

// MaxRemembered bounds the command ids that a conversation keeps; beyond it the oldest are forgotten.
const MaxRemembered = 1000

// Remembered is a command that was accepted.
type Remembered struct {
	// Command is a digest of its id.
	Command string `json:"c"`
	// Version is the conversation's when the command was answered.
	Version int64 `json:"n"`
	// At is when the command was received, in epoch milliseconds.
	At int64 `json:"t"`
}

// digest stands for a command id, which is of any length and may say something of the caller's system. 16 bytes of
// SHA-256 do not collide within the thousand of a conversation, even by intent.
func digest(id string) string {
	h := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(h[:16])
}

// Recall finds a command by its id, at the time at which it is received again.
func (s *Snapshot) Recall(id string, at time.Time) (Remembered, bool) {
	if len(s.Commands) == 0 {
		return Remembered{}, false
	}
	want := digest(id)
	for _, r := range slices.Backward(s.Commands) {
		if r.Command == want && s.keeps(r, at.UnixMilli()) {
			return r, true
		}
	}
	return Remembered{}, false
}

// keeps says whether a command is still remembered at a time, in epoch milliseconds.
func (s *Snapshot) keeps(r Remembered, at int64) bool {
	return s.State != StateClosed || at-r.At <= Remember.Milliseconds()
}

// Advance is the snapshot after a command: its state, the command, and those before it that are still remembered. The
// receiver stays as it is.
func (s *Snapshot) Advance(after Conversation, c *Command) *Snapshot {
	return s.remember(after, c.ID, c.ReceivedAt.UnixMilli())
}

// AfterTransition is Advance for a reader of the log, which has the transition and not its command.
func (s *Snapshot) AfterTransition(after Conversation, t *Transition) *Snapshot {
	return s.remember(after, t.CommandID, t.ReceivedAt.UnixMilli())
}

// remember makes the snapshot of a state with one command more; the implied transition has none.
func (s *Snapshot) remember(after Conversation, command string, at int64) *Snapshot {
	next := &Snapshot{Conversation: after}
	kept := s.Commands
	if n := len(kept) - (MaxRemembered - 1); n > 0 {
		kept = kept[n:]
	}
	next.Commands = make([]Remembered, 0, len(kept)+1)
	for _, r := range kept {
		if next.keeps(r, at) {
			next.Commands = append(next.Commands, r)
		}
	}
	if command != "" {
		next.Commands = append(next.Commands, Remembered{Command: digest(command), Version: after.Version, At: at})
	}
	return next
}

// Remembering is the snapshot with the commands of an earlier one of the same conversation, which come first.
func (s *Snapshot) Remembering(earlier *Snapshot) *Snapshot {
	merged := &Snapshot{Conversation: s.Conversation, Commands: slices.Clone(earlier.Commands)}
	for _, r := range s.Commands {
		if !slices.ContainsFunc(earlier.Commands, func(e Remembered) bool { return e.Command == r.Command }) {
			merged.Commands = append(merged.Commands, r)
		}
	}
	if n := len(merged.Commands) - MaxRemembered; n > 0 {
		merged.Commands = merged.Commands[n:]
	}
	return merged
}
