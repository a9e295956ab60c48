package projector

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/stream"
)

// intentVersion is the version of the form in which intents are written. Form 1 announced one batch, with its fields in
// the intent itself, and form 2 knew no joint inserts; both are still read.
const intentVersion = 3

// ahead is how many batches of a partition may be announced at once. With two, the next one is inserted while the commit
// that finishes the one before is on its way. The greatest is what a commit's metadata can hold: a token has at most
// 249 bytes of topic and about 150 more, and that of a joint insert about 100.
const ahead = 2

// intent says what is about to be inserted for a partition, or was. It stands in the metadata of the group's committed
// offset, which stays at the first offset of the first batch until that batch is known to be in the table.
type intent struct {
	Version int `json:"v"`
	// Transform is the version of the projection that made the rows.
	Transform int `json:"transform"`
	// TopicID tells a topic from another that was made under its name.
	TopicID string `json:"topic"`
	// Batches are in order. The first begins at the committed offset, and each other one where the one before ends.
	Batches []announced `json:"batches"`
}

// announced is one batch of an intent.
type announced struct {
	// To is the offset after the batch.
	To int64 `json:"to"`
	// Rows is how many rows the batch has.
	Rows int `json:"rows"`
	// Token is the deduplication token of the insert; empty where there are no rows.
	Token string `json:"token,omitempty"`
	// Joint is the token of the insert that the batch shares with others; empty where it goes alone.
	Joint string `json:"joint,omitempty"`
}

// former is what form 1 has in the place of Batches.
type former struct {
	To    int64  `json:"to"`
	Rows  int    `json:"rows"`
	Token string `json:"token"`
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

// newIntent announces batches of a partition, which follow each other. It is empty where none of them has rows: what
// inserts nothing needs no announcement.
func newIntent(p projections.Projection, topicID [16]byte, batches []*batch) (string, error) {
	i := intent{Version: intentVersion, Transform: p.Version, TopicID: topicIDText(topicID)}
	rows := 0
	for _, b := range batches {
		i.Batches = append(i.Batches, announced{To: b.to, Rows: b.rows(), Token: b.token, Joint: b.joint})
		rows += b.rows()
	}
	if rows == 0 {
		return "", nil
	}
	return i.encode()
}

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
	if i.Version == 1 {
		var f former
		if err := json.Unmarshal([]byte(a.Metadata), &f); err != nil {
			return intent{}, false, fmt.Errorf("%w: offset %d of %s: %w", ErrIntent, a.Offset, a.TopicPartition, err)
		}
		i.Batches = []announced{{To: f.To, Rows: f.Rows, Token: f.Token}}
	}
	switch {
	case i.Version < 1 || i.Version > intentVersion:
		err = fmt.Errorf("%w: the intent at offset %d of %s has form %d, this program knows 1 to %d: run the release that wrote it until its lag is 0, then upgrade",
			ErrIntent, a.Offset, a.TopicPartition, i.Version, intentVersion)
	case i.Transform != p.Version:
		err = fmt.Errorf("%w: the intent at offset %d of %s was made by version %d of the projection %s, this program has %d: run the release that wrote it until its lag is 0, then upgrade",
			ErrIntent, a.Offset, a.TopicPartition, i.Transform, p.Table, p.Version)
	case i.TopicID != topicIDText(topicID):
		err = fmt.Errorf("%w: the intent at offset %d of %s is of another topic of that name: the topic was made anew, so reset the group's offsets and empty the table",
			ErrIntent, a.Offset, a.TopicPartition)
	case !i.sensible(a.Offset):
		err = fmt.Errorf("%w: the intent at offset %d of %s makes no sense: %s", ErrIntent, a.Offset, a.TopicPartition, a.Metadata)
	}
	return i, err == nil, err
}

// sensible says whether the batches follow each other, and whatever has rows, and nothing else, has tokens.
func (i intent) sensible(from int64) bool {
	for _, b := range i.Batches {
		if b.To <= from || b.Rows < 0 || (b.Rows > 0) != (b.Token != "") || b.Rows == 0 && b.Joint != "" {
			return false
		}
		from = b.To
	}
	return len(i.Batches) > 0
}
