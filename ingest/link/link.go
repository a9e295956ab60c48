package link

import (
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// finder looks objects up, all of one workspace. It answers nil for an object that is not there.
type finder interface {
	// Named finds what a caller named.
	Named(object.Lookup) (*object.Record, error)
	// Relation finds what a stored relation names.
	Relation(object.Relation) (*object.Record, error)
}

// found is what an event is linked to.
type found struct {
	links []event.Link
	// dropped counts objects beyond event.MaxLinks.
	dropped int
	// missing are the event's own related objects that were not found; absent counts stored relations to objects that
	// were not found.
	missing []object.Lookup
	absent  int
}

// findLinks lists the objects on whose timelines an event belongs, in a fixed order: the primary, the objects that the
// event names, those that the primary is related to, and those that these are related to. Relations are followed in
// their direction only; each object is listed once, where it was found first. stored is the primary's record, nil
// where it is gone.
func findLinks(primary object.Ref, stored *object.Record, related []object.Lookup, look finder) (found, error) {
	s := search{look: look, seen: map[object.Ref]bool{}}
	s.add(event.Link{Type: primary.Type, ID: primary.ID, Kind: event.LinkPrimary})
	for _, l := range related {
		rec, err := look.Named(l)
		if err != nil {
			return found{}, err
		}
		if rec == nil {
			s.missing = append(s.missing, l)
			continue
		}
		s.add(event.Link{Type: rec.Type, ID: rec.ID, Kind: event.LinkRelated})
	}
	if stored == nil {
		return s.found, nil
	}
	first, err := s.follow(stored, []object.Ref{primary})
	if err != nil {
		return found{}, err
	}
	for _, rec := range first {
		if _, err := s.follow(rec, []object.Ref{primary, refOf(rec)}); err != nil {
			return found{}, err
		}
	}
	return s.found, nil
}

type search struct {
	found

	look finder
	seen map[object.Ref]bool
}

// follow links everything that an object is related to and returns it, each object once and without those on the way
// here. An object that was linked before is returned nevertheless: what it is related to may not be linked yet.
func (s *search) follow(from *object.Record, via []object.Ref) ([]*object.Record, error) {
	var next []*object.Record
	here := map[object.Ref]bool{}
	for _, ref := range via {
		here[ref] = true
	}
	for _, rel := range from.Relations {
		rec, err := s.look.Relation(rel)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			s.absent++
			continue
		}
		ref := refOf(rec)
		if here[ref] {
			continue
		}
		here[ref] = true
		s.add(event.Link{Type: ref.Type, ID: ref.ID, Kind: event.LinkRelated, Via: via})
		next = append(next, rec)
	}
	return next, nil
}

func (s *search) add(l event.Link) {
	ref := object.Ref{Type: l.Type, ID: l.ID}
	if s.seen[ref] {
		return
	}
	s.seen[ref] = true
	if len(s.links) == event.MaxLinks {
		s.dropped++
		return
	}
	s.links = append(s.links, l)
}

func refOf(rec *object.Record) object.Ref { return object.Ref{Type: rec.Type, ID: rec.ID} }
