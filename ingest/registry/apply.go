package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// apply puts one record into the store. A record that cannot be read is left out and counted: it is of a foreign
// producer, and stopping would stop every workspace.
func (r *Registry) apply(b *pebble.Batch, rec *stream.Record) error {
	parts, err := topic.ParseKey(rec.Key)
	if err == nil {
		if rec.Topic == r.objects {
			err = r.applyObject(b, rec, parts)
		} else {
			err = applySubjectKey(b, rec, parts)
		}
	} else {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if !errors.Is(err, errUnreadable) {
		return err
	}
	r.ignore(rec, err)
	return nil
}

func (r *Registry) ignore(rec *stream.Record, err error) {
	r.metrics.ignored.WithLabelValues(rec.Topic).Inc()
	r.log.Warn("record ignored", slog.String("topic", rec.Topic), slog.Int("partition", int(rec.Partition)),
		slog.Int64("offset", rec.Offset), slog.String("error", err.Error()))
}

// errUnreadable marks a record that says nothing to us.
var errUnreadable = errors.New("unreadable record")

func (r *Registry) applyObject(b *pebble.Batch, rec *stream.Record, parts []string) error {
	if len(parts) != 3 || slices.ContainsFunc(parts, hasSeparator) {
		return fmt.Errorf("%w: key %q is not workspace/TYPE/id", errUnreadable, rec.Key)
	}
	workspace, ref := parts[0], object.Ref{Type: object.Type(parts[1]), ID: parts[2]}
	key := objectKey(workspace, ref)
	var next *object.Record
	if rec.Value != nil {
		var err error
		if next, err = object.ParseRecord(rec.Value); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if next.Workspace != workspace || next.Type != ref.Type || next.ID != ref.ID || hasSeparator(next.ExternalToken) {
			return fmt.Errorf("%w: the record is not that of its key %q", errUnreadable, rec.Key)
		}
	}
	if !r.fresh.First(key) {
		if err := dropExternal(b, key, workspace, ref); err != nil {
			return err
		}
	}
	if next == nil {
		return remove(b, key)
	}
	if next.ExternalToken != "" {
		external := append(externalPrefix(workspace, ref.Type, next.ExternalToken), ref.ID...)
		if err := b.Set(external, appendTime(nil, rec.Timestamp), nil); err != nil {
			return fmt.Errorf("store external id: %w", err)
		}
	}
	if err := b.Set(key, encodeObject(next, rec.Timestamp), nil); err != nil {
		return fmt.Errorf("store object: %w", err)
	}
	return nil
}

// dropExternal removes the external id that the object has so far: its own entry only, for another object may hold
// the same one by now.
func dropExternal(b *pebble.Batch, key []byte, workspace string, ref object.Ref) error {
	value, closer, err := b.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	token, err := tokenOf(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	if token == "" {
		return nil
	}
	return remove(b, append(externalPrefix(workspace, ref.Type, token), ref.ID...))
}

func applySubjectKey(b *pebble.Batch, rec *stream.Record, parts []string) error {
	if len(parts) != 4 || slices.ContainsFunc(parts, hasSeparator) {
		return fmt.Errorf("%w: key %q is not workspace/TYPE/id/keyId", errUnreadable, rec.Key)
	}
	workspace, ref, id := parts[0], object.Ref{Type: object.Type(parts[1]), ID: parts[2]}, parts[3]
	key := subjectKey(workspace, ref, id)
	if rec.Value == nil {
		return remove(b, key)
	}
	data, err := seal.ParseKeyRecord(rec.Value)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if data.Workspace != workspace || data.Type != ref.Type || data.ObjectID != ref.ID || data.ID != id {
		return fmt.Errorf("%w: the data key is not that of its record's key %q", errUnreadable, rec.Key)
	}
	if err := b.Set(key, encodeKey(data), nil); err != nil {
		return fmt.Errorf("store data key: %w", err)
	}
	return nil
}

func hasSeparator(s string) bool { return strings.ContainsRune(s, 0) }

func remove(b *pebble.Batch, key []byte) error {
	if err := b.Delete(key, nil); err != nil {
		return fmt.Errorf("delete from store: %w", err)
	}
	return nil
}
