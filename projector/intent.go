package projector

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// intentVersion is the version of an intent's form.
const intentVersion = 1

// intent says what is about to be inserted for a partition, or was. It stands in the metadata of the group's committed
// offset, which stays at the first offset of the batch until the rows are known to be in the table.
type intent struct {
	Version int `json:"v"`
	// To is the offset after the batch.
	To int64 `json:"to"`
	// Rows is how many rows the batch has.
	Rows int `json:"rows"`
	// Transform is the version of the projection that made them.
	Transform int `json:"transform"`
	// Token is the deduplication token of the insert.
	Token string `json:"token"`
	// TopicID tells a topic from another that was made under its name.
	TopicID string `json:"topic"`
}

// ErrIntent says that a pending intent cannot be carried out by this program. Nothing is inserted or skipped on its
// account: an operator decides.
var ErrIntent = errors.New("pending intent cannot be carried out")

// token names a batch for the server's deduplication of inserts. It depends on nothing but the batch's place and the
// transform, so it is the same in every retry and in every process.
func token(p projections.Projection, tp stream.TopicPartition, topicID [16]byte, from, to int64) string {
	return fmt.Sprintf("%s/%s/%d-%d/%d/%s", p.Table, tp, from, to, p.Version, topicIDText(topicID))
}

func topicIDText(id [16]byte) string { return hex.EncodeToString(id[:]) }

func (i intent) encode() (string, error) {
	b, err := json.Marshal(i)
	if err != nil {
		return "", fmt.Errorf("encode intent: %w", err)
	}
	return string(b), nil
}

// readIntent reads the metadata of an assignment; ok is false where none is pending.
func readIntent(a stream.Assignment, p projections.Projection, topicID [16]byte) (i intent, ok bool, err error) {
	if a.Metadata == "" {
		return intent{}, false, nil
	}
	if err := json.Unmarshal([]byte(a.Metadata), &i); err != nil {
		return intent{}, false, fmt.Errorf("%w: offset %d of %s was committed with metadata that is no intent: %w",
			ErrIntent, a.Offset, a.TopicPartition, err)
	}
	switch {
	case i.Version != intentVersion:
		err = fmt.Errorf("%w: the intent at offset %d of %s has form %d, this program knows %d: run the release that wrote it until its lag is 0, then upgrade",
			ErrIntent, a.Offset, a.TopicPartition, i.Version, intentVersion)
	case i.Transform != p.Version:
		err = fmt.Errorf("%w: the intent at offset %d of %s was made by version %d of the projection %s, this program has %d: run the release that wrote it until its lag is 0, then upgrade",
			ErrIntent, a.Offset, a.TopicPartition, i.Transform, p.Table, p.Version)
	case i.TopicID != topicIDText(topicID):
		err = fmt.Errorf("%w: the intent at offset %d of %s is of another topic of that name: the topic was made anew, so reset the group's offsets and empty the table",
			ErrIntent, a.Offset, a.TopicPartition)
	case i.To <= a.Offset || i.Rows < 1 || i.Token == "":
		err = fmt.Errorf("%w: the intent at offset %d of %s makes no sense: %s", ErrIntent, a.Offset, a.TopicPartition, a.Metadata)
	}
	return i, err == nil, err
}
