package webhook

import (
	"errors"

	"github.com/throughline/throughline/schema/event"
)

// Types of the records in the topic webhook-replays: the middle parts of their keys (workspace/TYPE/id).
const (
	ReplayType = "REPLAY"
	CancelType = "REPLAY-CANCEL"
)

// Only says which events a replay sends.
type Only string

// What a replay may send.
const (
	// OnlyFailed sends what was given up: EXHAUSTED.
	OnlyFailed Only = "failed"
	// OnlyMissing sends what no attempt was made for: what was SKIPPED, and what came before the endpoint or its settings.
	OnlyMissing Only = "missing"
	// OnlyAll sends everything but what is under way.
	OnlyAll Only = "all"
)

// Onlys lists what a replay may send.
func Onlys() []string { return []string{string(OnlyFailed), string(OnlyMissing), string(OnlyAll)} }

// ReplayStatus is where a replay stands.
type ReplayStatus string

// The statuses of a replay.
const (
	ReplayQueued    ReplayStatus = "QUEUED"
	ReplayRunning   ReplayStatus = "RUNNING"
	ReplayDone      ReplayStatus = "DONE"
	ReplayCancelled ReplayStatus = "CANCELLED"
	// ReplayFailed: the endpoint was disabled, changed hands or went away.
	ReplayFailed ReplayStatus = "FAILED"
)

// Replay is a job that sends events to an endpoint again, in the topic webhook-replays. Each step of it reads the record
// and writes the next one, in the transaction that writes the step's deliveries: so the log says exactly how far it has
// come, and whoever reads the newest record goes on with it.
type Replay struct {
	Version   int    `json:"v"`
	ID        string `json:"id"`
	Workspace string `json:"workspace"`
	Endpoint  string `json:"endpoint"`
	// EndpointCreatedAt tells the endpoint from a later one of the same id.
	EndpointCreatedAt event.Time `json:"endpointCreatedAt"`
	// From is inclusive and To is not; they are about when events came into the log.
	From      event.Time   `json:"from"`
	To        event.Time   `json:"to"`
	Only      Only         `json:"only"`
	CreatedAt event.Time   `json:"createdAt"`
	Status    ReplayStatus `json:"status"`
	// Reason says why it has failed.
	Reason    string     `json:"reason,omitempty"`
	UpdatedAt event.Time `json:"updatedAt"`
	// DueAt is when the next step may be made, which keeps the rate.
	DueAt event.Time `json:"dueAt,omitzero"`
	// Left is what is to be read, the partition that is being read first; nil before the first step.
	Left []ReplayRange `json:"left,omitempty"`
	// Started says that Left was found.
	Started bool `json:"started,omitempty"`
	// Total and Read count offsets of the source topics; Matched counts events that the endpoint wants; Sent those that
	// were sent.
	Total   int64 `json:"total,omitempty"`
	Read    int64 `json:"read,omitempty"`
	Matched int64 `json:"matched,omitempty"`
	Sent    int64 `json:"sent,omitempty"`
}

// ReplayRange is what is to be read of a partition: the offsets [Next, End).
type ReplayRange struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"next"`
	End       int64  `json:"end"`
}

// Ended says that nothing more is sent.
func (r *Replay) Ended() bool {
	return r.Status == ReplayDone || r.Status == ReplayCancelled || r.Status == ReplayFailed
}

// Encode writes the record's value.
func (r *Replay) Encode() ([]byte, error) {
	r.Version = RecordVersion
	return encode("replay", r)
}

// ParseReplay reads a record's value. It ignores members that it does not know.
func ParseReplay(value []byte) (*Replay, error) {
	var r Replay
	if err := decode("replay", value, &r, &r.Version); err != nil {
		return nil, err
	}
	if r.ID == "" || r.Workspace == "" || r.Endpoint == "" || r.Only == "" || r.Status == "" {
		return nil, errors.New("parse webhook replay: id, workspace, endpoint, only and status are required")
	}
	return &r, nil
}

// Cancel asks a replay to end, in the topic webhook-replays under a key of its own: so it and a step cannot undo each
// other.
type Cancel struct {
	Version   int        `json:"v"`
	ID        string     `json:"id"`
	Workspace string     `json:"workspace"`
	At        event.Time `json:"at"`
}

// Encode writes the record's value.
func (c *Cancel) Encode() ([]byte, error) {
	c.Version = RecordVersion
	return encode("cancel", c)
}

// ParseCancel reads a record's value. It ignores members that it does not know.
func ParseCancel(value []byte) (*Cancel, error) {
	var c Cancel
	if err := decode("cancel", value, &c, &c.Version); err != nil {
		return nil, err
	}
	if c.ID == "" || c.Workspace == "" {
		return nil, errors.New("parse webhook cancel: id and workspace are required")
	}
	return &c, nil
}
