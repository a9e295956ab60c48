package conversation

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/throughline/throughline/ingest/derive"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/workspace"
)

// maxCommandBytes bounds a record of conversation-commands. A transition of 32 KiB grows sixfold at most when its text is
// escaped, once more in attributes, which are a text in a text, and gets an envelope of less than 4 KiB.
const maxCommandBytes = 12*conv.MaxCommandBytes + 4<<10

// errNoPartitions says that keys cannot be placed.
var errNoPartitions = errors.New("topic conversation-commands has no partitions")

// parse reads a record of conversation-commands, which edges write. An error means that nobody can process it. It looks at
// the record alone and at no clock, so that a batch that is processed again gives the same.
func (h *handler) parse(p int32, r *stream.Record) (*conv.Command, error) {
	if n := len(r.Value); n > maxCommandBytes {
		return nil, fmt.Errorf("record has %d bytes; at most %d are allowed", n, maxCommandBytes)
	}
	if !utf8.Valid(r.Value) {
		return nil, errors.New("record is not valid UTF-8")
	}
	c, err := conv.ParseCommand(r.Value)
	if err != nil {
		return nil, err
	}
	if err := workspace.ValidateID(c.Workspace); err != nil {
		return nil, fmt.Errorf("workspace %w", err)
	}
	// What the edge has accepted by its own clock is not refused by another one.
	stamp := derive.Time(r)
	if at := c.ReceivedAt; at.Before(time.UnixMilli(0)) || at.After(stamp.Add(derive.ClockSlack)) {
		return nil, errors.New("receivedAt is not believable")
	}
	if broken := c.Validate(c.ReceivedAt.Add(derive.ClockSlack)); len(broken) > 0 {
		return nil, fmt.Errorf("%s %s", broken[0].Pointer, broken[0].Detail)
	}
	key := conv.Key(c.Workspace, c.ConversationID)
	if !bytes.Equal(key, r.Key) || stream.PartitionOf(key, h.partitions) != p {
		// Another partition's owner decides about this conversation.
		return nil, fmt.Errorf("record does not stand under the key %s in its partition", key)
	}
	return c, nil
}
