package ingest

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// list is a page of a list.
type list[T any] struct {
	Data       []T        `json:"data"`
	NextCursor *string    `json:"nextCursor"`
	AsOf       event.Time `json:"asOf"`
}

func newList[T any](now time.Time) list[T] { return list[T]{Data: []T{}, AsOf: event.TimeOf(now)} }

// writeCursor makes an opaque cursor of where a page ended. route and what bind it to the list that it was made for.
func writeCursor(route, what, after string) *string {
	c := base64.RawURLEncoding.EncodeToString([]byte(strings.Join([]string{"1", route, what, after}, "\x00")))
	return &c
}

// readCursor reads it back; an empty one is the beginning.
func readCursor(route, what, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", problem.New(problem.BadCursor, "")
	}
	after, ok := strings.CutPrefix(string(raw), strings.Join([]string{"1", route, what, ""}, "\x00"))
	if !ok || after == "" || strings.ContainsRune(after, 0) {
		return "", problem.New(problem.BadCursor, "")
	}
	return after, nil
}

// typesParam reads the parameter objectType, which may be repeated; absent it means every type. The types come sorted. A
// word that is no type is a 422, as it is in bodies and paths.
func typesParam(q *web.Params) ([]object.Type, error) {
	var types []object.Type
	for _, name := range q.Strings("objectType") {
		t, err := object.ParseType(name)
		if err != nil {
			return nil, problem.Invalid(problem.Fault{Parameter: "objectType", Detail: err.Error()})
		}
		types = append(types, t)
	}
	if len(types) == 0 {
		types = object.Types()
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// positionTimeout is how long a read waits for the writes of its positions.
const positionTimeout = 5 * time.Second

// await waits until the registry has the writes of objects that positions name. Other writes do not show in objects.
func (s *Service) await(ctx context.Context, workspace string, positions []string) error {
	if len(positions) == 0 {
		return nil
	}
	all, err := web.Positions(positions, workspace)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	for _, e := range all.Entries() {
		if e.Topic != topic.Objects {
			continue
		}
		at := stream.Offset{TopicPartition: stream.TopicPartition{Topic: s.topic(e.Topic), Partition: e.Partition}, Offset: e.Offset}
		if err := s.registry.WaitFor(ctx, at); err != nil {
			return problem.New(problem.PositionNotReached, "").WithRetryAfter(retryAfter).WithCause(err)
		}
	}
	return nil
}
