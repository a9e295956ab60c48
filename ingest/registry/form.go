package registry

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/seal"
)

// The store keeps what records say in a form of its own: without the names of members, without what its key says already,
// and with bytes as bytes. An object of 500 bytes of JSON takes 300, a data key of 330 takes 90, so that a store of ten
// million is half as large and rewritten at half the price; and link, which reads several objects for each event, does not
// parse JSON for each. Whoever changes the form raises storeVersion, and stores are built anew from the log.

// errForm says that a value is not in this form. Only a broken disk makes such.
var errForm = errors.New("value in the store of the registry is broken")

// encodeObject is the value of an object; at is the time of its record.
func encodeObject(rec *object.Record, at time.Time) []byte {
	size := timeBytes + 64 + len(rec.ExternalToken) + len(rec.KeyID) + len(rec.Sealed)
	for _, r := range rec.Relations {
		size += 8 + len(r.Type) + len(r.ID) + len(r.ExternalToken)
	}
	b := appendTime(make([]byte, 0, size), at)
	b = binary.AppendUvarint(b, uint64(rec.Version))
	b = appendInstant(b, rec.UpdatedAt)
	b = appendText(b, rec.ExternalToken)
	b = appendText(b, rec.KeyID)
	b = binary.AppendUvarint(b, uint64(len(rec.Relations)))
	for _, r := range rec.Relations {
		b = appendText(b, string(r.Type))
		b = appendText(b, r.ID)
		b = appendText(b, r.ExternalToken)
	}
	return appendText(b, string(rec.Sealed))
}

// decodeObject reads what encodeObject wrote. The record shares no memory with value.
func decodeObject(workspace string, ref object.Ref, value []byte) (*object.Record, error) {
	if len(value) < timeBytes {
		return nil, errForm
	}
	d := decoder{text: string(value[timeBytes:])}
	rec := &object.Record{Workspace: workspace, Type: ref.Type, ID: ref.ID}
	rec.Version = int(d.number())
	rec.UpdatedAt = d.instant()
	rec.ExternalToken = d.string()
	rec.KeyID = d.string()
	if n := d.number(); n > 0 && n <= uint64(len(d.text)) {
		rec.Relations = make([]object.Relation, n)
		for i := range rec.Relations {
			rec.Relations[i] = object.Relation{Type: object.Type(d.string()), ID: d.string(), ExternalToken: d.string()}
		}
	} else if n > 0 {
		return nil, errForm
	}
	if sealed := d.string(); sealed != "" {
		rec.Sealed = []byte(sealed)
	}
	return rec, d.end()
}

// tokenOf is the external token of an object's value, without the rest.
func tokenOf(value []byte) (string, error) {
	if len(value) < timeBytes {
		return "", errForm
	}
	d := decoder{text: string(value[timeBytes:])}
	d.number()
	d.instant()
	token := d.string()
	if d.broken {
		return "", errForm
	}
	return token, nil
}

// encodeKey is the value of a data key.
func encodeKey(rec *seal.KeyRecord) []byte {
	b := make([]byte, 0, 32+len(rec.Master)+len(rec.Wrapped))
	b = binary.AppendUvarint(b, uint64(rec.Version))
	b = appendInstant(b, rec.CreatedAt)
	b = appendText(b, rec.Master)
	return appendText(b, string(rec.Wrapped))
}

// decodeKey reads what encodeKey wrote.
func decodeKey(workspace string, ref object.Ref, id string, value []byte) (*seal.KeyRecord, error) {
	d := decoder{text: string(value)}
	rec := &seal.KeyRecord{ID: id, Workspace: workspace, Type: ref.Type, ObjectID: ref.ID}
	rec.Version = int(d.number())
	rec.CreatedAt = d.instant()
	rec.Master = d.string()
	rec.Wrapped = []byte(d.string())
	return rec, d.end()
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

// appendInstant keeps every time that a record can carry, in UTC.
func appendInstant(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads a value from its beginning. Once something was broken it reads nothing any more.
type decoder struct {
	text   string
	broken bool
}

func (d *decoder) number() uint64 {
	// No number is longer than this.
	n, size := binary.Uvarint([]byte(d.text[:min(len(d.text), binary.MaxVarintLen64)]))
	d.skip(size)
	return n
}

func (d *decoder) instant() time.Time {
	seconds, size := binary.Varint([]byte(d.text[:min(len(d.text), binary.MaxVarintLen64)]))
	d.skip(size)
	nanoseconds := d.number()
	if d.broken {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

func (d *decoder) string() string {
	n := d.number()
	if n > uint64(len(d.text)) {
		d.skip(-1)
		return ""
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

// skip passes over n bytes; none or less means that the value is broken.
func (d *decoder) skip(n int) {
	if n <= 0 {
		d.broken, d.text = true, ""
		return
	}
	d.text = d.text[n:]
}

func (d *decoder) end() error {
	if d.broken || d.text != "" {
		return errForm
	}
	return nil
}
