package projections_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

// counted counts what is opened.
type counted struct {
	keys

	opened *int
}

func (c counted) Open(ctx context.Context, s projections.Sealed) ([]byte, bool, error) {
	*c.opened++
	return c.keys.Open(ctx, s)
}

// both gives the rows of a record in both tables that read events, and how often it was opened for them.
func both(t *testing.T, rec projections.Record, gone bool) (rows [][]map[string]any, opened int) {
	t.Helper()
	for _, p := range []projections.Projection{projections.Timeline(), projections.EventLog()} {
		var to table.Block
		if err := p.Transform(t.Context(), rec, counted{keys{gone: gone}, &opened}, &to); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, named(&to))
	}
	return rows, opened
}

func TestAnEventThatTablesShareIsOpenedOnceAndGivesTheSameRows(t *testing.T) {
	t.Parallel()
	rec := record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t))
	want, opened := both(t, rec, false)
	if opened != 2 {
		t.Errorf("by themselves the tables opened it %d times, want 2", opened)
	}
	rec.Shared = projections.NewShared(1 << 20)
	for range 2 {
		got, opened := both(t, rec, false)
		if opened != 1 {
			t.Errorf("it was opened %d times, want once", opened)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-alone +shared):\n%s", diff)
		}
	}
}

func TestAnEventIsSharedOnlyWithARecordOfTheSameBytes(t *testing.T) {
	t.Parallel()
	first := record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t))
	first.Shared = projections.NewShared(1 << 20)
	var to table.Block
	if err := projections.Timeline().Transform(t.Context(), first, keys{}, &to); err != nil {
		t.Fatal(err)
	}
	// The topic was made anew, and has another record at the same place.
	second := record(topic.Events, "ws/CUSTOMER/c1", append(linkedEvent(t), ' '))
	want, _ := both(t, second, false)
	second.Shared = first.Shared
	got, opened := both(t, second, false)
	if diff := cmp.Diff(want, got); diff != "" || opened != 1 {
		t.Errorf("it was opened %d times; rows (-want +got):\n%s", opened, diff)
	}
}

func TestAnEventOfAnErasedSubjectIsNotShared(t *testing.T) {
	t.Parallel()
	rec := record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t))
	want, _ := both(t, rec, true)
	rec.Shared = projections.NewShared(1 << 20)
	got, opened := both(t, rec, true)
	if diff := cmp.Diff(want, got); diff != "" || opened != 2 {
		t.Errorf("it was opened %d times; rows (-want +got):\n%s", opened, diff)
	}
}

func TestWhatTablesShareIsBounded(t *testing.T) {
	t.Parallel()
	// There is room for a handful of events, and the other table is far behind: it opens the first ones itself.
	shared := projections.NewShared(16 << 10)
	const events = 100
	opened := 0
	for _, p := range []projections.Projection{projections.Timeline(), projections.EventLog()} {
		var to table.Block
		for i := range events {
			rec := record(topic.Events, "ws/CUSTOMER/c1", linkedEvent(t))
			rec.Offset, rec.Shared = int64(i), shared
			if err := p.Transform(t.Context(), rec, counted{keys{}, &opened}, &to); err != nil {
				t.Fatal(err)
			}
		}
	}
	if opened != 2*events {
		t.Errorf("%d events were opened, want each twice", opened)
	}
}
