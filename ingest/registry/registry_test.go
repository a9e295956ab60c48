package registry_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/ingest/registry"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/topic"
)

// resolve gives the id of the object that a lookup finds, or the error.
func (v *view) resolve(t *testing.T, l object.Lookup) (string, error) {
	t.Helper()
	l.Type = object.Customer
	rec, err := v.Resolve(t.Context(), ws, l)
	if err != nil {
		return "", err
	}
	return rec.ID, nil
}

func TestResolveFindsWhatWasWrittenBeforeItWasCalled(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	now := time.Now()
	l.put(t, "c1", "x1", now)
	l.put(t, "c2", "x2", now)
	l.put(t, "c3", "", now)
	for name, c := range map[string]struct {
		lookup object.Lookup
		want   string
		err    error
	}{
		"by its id":          {object.Lookup{ID: "c1"}, "c1", nil},
		"by its external id": {object.Lookup{ExternalID: "x2"}, "c2", nil},
		"by both":            {object.Lookup{ID: "c1", ExternalID: "x1"}, "c1", nil},
		"by its external id where the id is unknown": {object.Lookup{ID: "c9", ExternalID: "x2"}, "c2", nil},
		"by its id where the external id is unknown": {object.Lookup{ID: "c3", ExternalID: "x9"}, "c3", nil},
		"not where they are of two objects":          {object.Lookup{ID: "c1", ExternalID: "x2"}, "", registry.ErrMismatch},
		"not by an unknown id":                       {object.Lookup{ID: "c9"}, "", registry.ErrNotFound},
		"not by an unknown external id":              {object.Lookup{ExternalID: "x9"}, "", registry.ErrNotFound},
		"not by two unknown ones":                    {object.Lookup{ID: "c9", ExternalID: "x9"}, "", registry.ErrNotFound},
		"not by the beginning of an id":              {object.Lookup{ID: "c"}, "", registry.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := v.resolve(t, c.lookup)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("resolved to %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestPausedViewIsBehindAndNeverSaysThatAnObjectIsUnknown(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v, start := l.open(t, t.TempDir())
	l.put(t, "c1", "x1", time.Now())
	for _, lookup := range []object.Lookup{{ID: "c1"}, {ExternalID: "x1"}} {
		if _, err := v.resolve(t, lookup); !errors.Is(err, registry.ErrBehind) {
			t.Errorf("%+v: %v, want ErrBehind", lookup, err)
		}
	}
	start()
	for _, lookup := range []object.Lookup{{ID: "c1"}, {ExternalID: "x1"}} {
		if got, err := v.resolve(t, lookup); got != "c1" || err != nil {
			t.Errorf("%+v: %q, %v", lookup, got, err)
		}
	}
}

func TestExternalIDMovesWithTheObjectThatTakesIt(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	start := time.Now()
	find := func(want string) {
		t.Helper()
		got, err := v.resolve(t, object.Lookup{ExternalID: "x"})
		if want == "" && errors.Is(err, registry.ErrNotFound) {
			return
		}
		if got != want || err != nil {
			t.Fatalf("x is of %q, %v; want %q", got, err, want)
		}
	}
	l.put(t, "c1", "x", start)
	find("c1")
	l.put(t, "c1", "y", start.Add(1*time.Second))
	find("")
	l.put(t, "c2", "x", start.Add(2*time.Second))
	find("c2")
	// An update of the former holder removes its own entry only.
	l.put(t, "c1", "", start.Add(3*time.Second))
	find("c2")
	l.remove(t, "c2")
	find("")
}

func TestLatestOfRacingUpsertsOwnsTheExternalID(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	v := l.follow(t, t.TempDir())
	at := time.Now().Truncate(time.Millisecond)
	// Two edges wrote before either saw the other; the order between partitions is not the order of time.
	l.put(t, "c2", "x", at.Add(time.Second))
	l.put(t, "c1", "x", at)
	l.put(t, "c3", "x", at.Add(time.Second))
	check(t, v.Barrier(t.Context()))
	owners, err := v.ByExternal(ws, object.Customer, l.token("x"))
	check(t, err)
	want := []registry.Owner{{ID: "c3", Time: at.Add(time.Second)}, {ID: "c2", Time: at.Add(time.Second)}, {ID: "c1", Time: at}}
	if diff := cmp.Diff(want, owners); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	// When the owner lets go, the next one has it.
	l.put(t, "c3", "", at.Add(2*time.Second))
	if got, err := v.resolve(t, object.Lookup{ExternalID: "x"}); got != "c2" || err != nil {
		t.Errorf("x is of %q, %v; want c2", got, err)
	}
}

func TestRegistryGoesOnFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	l := kafka(t)
	dir := t.TempDir()
	v := l.follow(t, dir)
	// More than the 32 KiB of its log that the store holds back in memory.
	const objects = 400
	for i := range objects {
		id := "c" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		l.put(t, id, "of "+id, time.Now())
	}
	check(t, v.Barrier(t.Context()))
	// The folder as a kill leaves it: what the process has written, without its farewell.
	killed := t.TempDir()
	copyTree(t, dir, killed)
	v.stop()
	l.put(t, "late", "x", time.Now())

	again := l.follow(t, killed)
	if got, err := again.resolve(t, object.Lookup{ExternalID: "x"}); got != "late" || err != nil {
		t.Fatalf("resolved to %q, %v", got, err)
	}
	if got, err := again.resolve(t, object.Lookup{ID: "ca"}); got != "ca" || err != nil {
		t.Fatalf("resolved to %q, %v", got, err)
	}
	if got := again.counted(t, "throughline_stream_view_records_total"); got >= objects {
		t.Errorf("it read %d records again", got)
	}
	if got := again.counted(t, "throughline_stream_view_rebuilds_total"); got != 0 {
		t.Errorf("it was rebuilt %d times", got)
	}
}

// copyTree copies a folder that somebody may be writing to.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file that was dropped meanwhile
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o750)
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	}))
}

func TestRegistryIsRebuiltForAnotherCluster(t *testing.T) {
	t.Parallel()
	prefix, dir := schematest.Prefix(t), t.TempDir()
	one := newLog(t, schematest.Kfake(t), prefix)
	v := one.follow(t, dir)
	one.put(t, "old", "x", time.Now())
	check(t, v.Barrier(t.Context()))
	v.stop()

	two := newLog(t, schematest.Kfake(t), prefix)
	two.put(t, "new", "", time.Now())
	again := two.follow(t, dir)
	if got, err := again.resolve(t, object.Lookup{ID: "new"}); got != "new" || err != nil {
		t.Errorf("resolved to %q, %v", got, err)
	}
	for _, lookup := range []object.Lookup{{ID: "old"}, {ExternalID: "x"}} {
		if _, err := again.resolve(t, lookup); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%+v: %v, want ErrNotFound", lookup, err)
		}
	}
	if got := again.counted(t, "throughline_stream_view_rebuilds_total"); got != 2 {
		t.Errorf("%d views were rebuilt, want that of objects and that of conversations", got)
	}
}

func TestRecordThatCannotBeReadStopsNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t), schematest.Prefix(t))
	v := l.follow(t, t.TempDir())
	now := time.Now()
	l.put(t, "c1", "x", now)
	c1 := topic.Key(ws, "CUSTOMER", "c1")
	l.append(t, topic.Objects, []byte("no/key"), []byte(`{}`), now)
	l.append(t, topic.Objects, c1, []byte(`{"v":1,"workspace":"other","objectType":"CUSTOMER","objectId":"c1"}`), now)
	l.append(t, topic.Objects, c1, []byte(`{"v":99}`), now)
	l.append(t, topic.SubjectKeys, []byte("%"), []byte(`{}`), now)
	if got, err := v.resolve(t, object.Lookup{ExternalID: "x"}); got != "c1" || err != nil {
		t.Errorf("resolved to %q, %v", got, err)
	}
	check(t, v.Barrier(t.Context()))
	if got := v.counted(t, "throughline_registry_ignored_records_total"); got != 4 {
		t.Errorf("%d records were counted as ignored, want 4", got)
	}
}

func TestRelationIsFollowedByIDOrToken(t *testing.T) {
	t.Parallel()
	l := newLog(t, schematest.Kfake(t), schematest.Prefix(t))
	v := l.follow(t, t.TempDir())
	l.put(t, "c1", "x1", time.Now())
	l.put(t, "c2", "x2", time.Now())
	check(t, v.Barrier(t.Context()))
	for _, c := range []struct {
		rel  object.Relation
		want string
	}{
		{object.Relation{ID: "c1"}, "c1"},
		{object.Relation{ExternalToken: l.token("x2")}, "c2"},
		{object.Relation{ID: "c1", ExternalToken: l.token("x2")}, "c1"},
		{object.Relation{ID: "c9"}, ""},
	} {
		c.rel.Type = object.Customer
		rec, err := v.RelatedLocal(ws, c.rel)
		if c.want == "" && errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil || rec.ID != c.want {
			t.Errorf("%+v: %v, %v; want %s", c.rel, rec, err, c.want)
		}
	}
}
