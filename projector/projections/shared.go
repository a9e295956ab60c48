package projections

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/event"
)

// sharedAge bounds for how long an event is kept: what was opened does not outlive an erasure for long.
const sharedAge = time.Minute

// sharedEach is about how much memory an event takes beside its texts, which are those of its record and of its sealed
// part: that is at most as long again unless it compresses well.
const sharedEach = 1 << 10

// Shared keeps events that were read and opened for one table until they are read for another one, which then need not
// do it again. It changes nothing about what a projection gives: an event is found by its record's place and bytes. A nil
// Shared keeps nothing. It is safe for concurrent use.
type Shared struct {
	most int
	seed maphash.Seed

	mu     sync.Mutex
	events map[place]*kept
	bytes  int
	// oldest and newest are the ends of the list of all that is kept, in the order in which it came.
	oldest, newest *kept
}

// place is where in the log a record is.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// kept is an event that one table has read.
type kept struct {
	place

	// hash is that of the record's value, which is not kept: it would keep all that came in one answer with it.
	hash     uint64
	event    *event.Event
	personal *event.Personal
	at       time.Time
	bytes    int
	// older and newer are its neighbours.
	older, newer *kept
}

// NewShared makes a Shared that keeps about so many bytes.
func NewShared(most int) *Shared {
	return &Shared{most: most, seed: maphash.MakeSeed(), events: map[place]*kept{}}
}

// take gives the event of a record out, once.
func (s *Shared) take(rec Record) (*event.Event, *event.Personal) {
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	k := s.events[place{rec.Topic, rec.Partition, rec.Offset}]
	if k != nil {
		s.remove(k)
	}
	s.mu.Unlock()
	// A topic that was made anew has other records at the same places.
	if k == nil || time.Since(k.at) > sharedAge || k.hash != maphash.Bytes(s.seed, rec.Value) {
		return nil, nil
	}
	return k.event, k.personal
}

// keep remembers the event of a record. Neither may be changed from now on.
func (s *Shared) keep(rec Record, e *event.Event, p *event.Personal) {
	if s == nil {
		return
	}
	k := &kept{
		place: place{rec.Topic, rec.Partition, rec.Offset}, hash: maphash.Bytes(s.seed, rec.Value), event: e, personal: p, at: time.Now(),
		bytes: sharedEach + 2*len(rec.Value) + len(p.Description) + len(p.Payload),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if former := s.events[k.place]; former != nil {
		s.remove(former)
	}
	s.events[k.place] = k
	if k.older = s.newest; k.older == nil {
		s.oldest = k
	} else {
		k.older.newer = k
	}
	s.newest = k
	s.bytes += k.bytes
	for s.oldest != nil && (s.bytes > s.most || k.at.Sub(s.oldest.at) > sharedAge) {
		s.remove(s.oldest)
	}
}

// remove forgets an event.
func (s *Shared) remove(k *kept) {
	delete(s.events, k.place)
	s.bytes -= k.bytes
	if k.older == nil {
		s.oldest = k.newer
	} else {
		k.older.newer = k.newer
	}
	if k.newer == nil {
		s.newest = k.older
	} else {
		k.newer.older = k.older
	}
	k.older, k.newer = nil, nil
}
