// Package links finds the objects on whose timelines an event or a transition belongs.
package links

import (
	"context"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

// Finder looks objects up, all of one workspace. It answers nil for an object that is not there.
type Finder interface {
	// Named finds what a caller named.
	Named(context.Context, object.Lookup) (*object.Record, error)
	// Relation finds what a stored relation names.
	Relation(context.Context, object.Relation) (*object.Record, error)
}

// Found is what an event or a transition is linked to.
type Found struct {
	// Links has the primary first, then each other object once.
	Links []event.Link
	// Dropped counts objects beyond event.MaxLinks.
	Dropped int
	// Missing are the objects that were named and not found; Absent counts stored relations to objects that were not
	// found.
	Missing []object.Lookup
	Absent  int
}

// Of lists the objects on whose timelines an event belongs, in a fixed order: the primary, the objects that the event
// names, those that the primary is related to, and those that these are related to. Relations are followed in their
// direction only; each object is listed once, where it was found first. stored is the primary's record, nil where it is
// gone.
func Of(ctx context.Context, primary object.Ref, stored *object.Record, related []object.Lookup, look Finder) (Found, error) {
	s := Begin(primary, look)
	for _, l := range related {
		if _, err := s.Name(ctx, l); err != nil {
			return Found{}, err
		}
	}
	if err := s.Follow(ctx, stored); err != nil {
		return Found{}, err
	}
	return s.Found, nil
}

// Search gathers links, one after the other.
type Search struct {
	Found

	look Finder
	seen map[object.Ref]bool
}

// Begin begins with the primary object.
func Begin(primary object.Ref, look Finder) *Search {
	s := &Search{look: look, seen: map[object.Ref]bool{}}
	s.add(event.Link{Type: primary.Type, ID: primary.ID, Kind: event.LinkPrimary})
	return s
}

// Name links an object that a caller named, and returns its record; nil where it is not there.
func (s *Search) Name(ctx context.Context, l object.Lookup) (*object.Record, error) {
	rec, err := s.look.Named(ctx, l)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		s.Missing = append(s.Missing, l)
		return nil, nil
	}
	s.Add(rec)
	return rec, nil
}

// Add links an object that was found already.
func (s *Search) Add(rec *object.Record) {
	s.add(event.Link{Type: rec.Type, ID: rec.ID, Kind: event.LinkRelated})
}

// Follow links what an object is related to, and what that is related to. A nil object is related to nothing.
func (s *Search) Follow(ctx context.Context, from *object.Record) error {
	if from == nil {
		return nil
	}
	here := refOf(from)
	first, err := s.follow(ctx, from, []object.Ref{here})
	if err != nil {
		return err
	}
	for _, rec := range first {
		if _, err := s.follow(ctx, rec, []object.Ref{here, refOf(rec)}); err != nil {
			return err
		}
	}
	return nil
}

// follow links everything that an object is related to and returns it, each object once and without those on the way
// here. An object that was linked before is returned nevertheless: what it is related to may not be linked yet.
func (s *Search) follow(ctx context.Context, from *object.Record, via []object.Ref) ([]*object.Record, error) {
	var next []*object.Record
	here := map[object.Ref]bool{}
	for _, ref := range via {
		here[ref] = true
	}
	for _, rel := range from.Relations {
		rec, err := s.look.Relation(ctx, rel)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			s.Absent++
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

func (s *Search) add(l event.Link) {
	ref := object.Ref{Type: l.Type, ID: l.ID}
	if s.seen[ref] {
		return
	}
	s.seen[ref] = true
	if len(s.Links) == event.MaxLinks {
		s.Dropped++
		return
	}
	s.Links = append(s.Links, l)
}

func refOf(rec *object.Record) object.Ref { return object.Ref{Type: rec.Type, ID: rec.ID} }
