package projector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// rebuild makes tables again, all where none is named.
func (w *world) rebuild(t *testing.T, tables ...string) []Rebuilt {
	t.Helper()
	rebuilt, err := Rebuild(t.Context(), w.config(), w.deps(nil), tables, nil)
	must(t, err)
	return rebuilt
}

// sums are checksums of what a reader can see of every table.
func (w *world) sums(t *testing.T) map[string]uint64 {
	t.Helper()
	sums := map[string]uint64{}
	for _, p := range projections.All() {
		from := p.Table
		if p.Replacing {
			from += " FINAL"
		}
		var sum uint64
		must(t, w.conn.QueryRow(t.Context(), "SELECT sum(cityHash64(*)) + count() FROM "+from).Scan(&sum))
		sums[p.Table] = sum
	}
	return sums
}

func TestTablesThatWereDroppedComeBackFromTheLogAsTheyWere(t *testing.T) {
	t.Parallel()
	w := filled(t)
	before := w.sums(t)
	for _, p := range projections.All() {
		must(t, w.conn.Exec(t.Context(), "DROP TABLE "+p.Table+" SYNC"))
	}
	must(t, w.conn.Exec(t.Context(), "DROP TABLE schema_migrations SYNC"))
	_, err := store.Migrate(t.Context(), w.conn, table.Migrations(), nil)
	must(t, err)
	for _, done := range w.rebuild(t) {
		if done.Generation != 2 || done.Rows != done.Report.Rows || done.Carried != 0 {
			t.Errorf("%+v", done)
		}
	}
	for name, sum := range w.sums(t) {
		if sum != before[name] {
			t.Errorf("%s is not what it was", name)
		}
	}
	// The projector goes on where it was.
	w.start(t, w.config())
	w.events(t, w.subject(t, "later"), "later", 10, time.Now())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*40+30+2*10)
	w.reconcile(t, Counts{})

	dropped, err := DropOld(t.Context(), w.conn, nil, false)
	must(t, err)
	if len(dropped) != len(projections.All()) {
		t.Errorf("dropped %v", dropped)
	}
	w.exact(t, table.Timeline, 2*40+30+2*10)
}

// TestRebuildGoesOnBesideProducersAndReaders has records appended and a page read all the time.
func TestRebuildGoesOnBesideProducersAndReaders(t *testing.T) {
	t.Parallel()
	w := filled(t)
	r := w.start(t, w.config())
	ctx, enough := context.WithCancel(t.Context())
	produced := make(chan int, 1)
	s := w.subject(t, "c2")
	go func() {
		n := 0
		for ctx.Err() == nil {
			w.events(t, s, fmt.Sprintf("p%d", n), 20, time.Now())
			n++
			_ = pause(ctx, 20*time.Millisecond)
		}
		produced <- n
	}()
	read := make(chan error, 1)
	go func() { read <- w.pages(ctx) }()
	for range 2 {
		w.rebuild(t, table.Timeline, table.Objects)
	}
	enough()
	n := <-produced
	must(t, <-read)
	w.caughtUp(t)
	r.stop()
	w.exact(t, table.Timeline, 2*40+30+n*20*2)
	w.reconcile(t, Counts{})
	g, err := findGenerations(t.Context(), w.conn, projections.Timeline())
	must(t, err)
	if g.current != 3 || g.building != 0 || len(g.old) != 2 {
		t.Errorf("generations are %+v", g)
	}
}

// TestALateInsertAfterTheExchangeIsDropped has an owner announce a batch and pause before it inserts it.
func TestALateInsertAfterTheExchangeIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	b, sink := w.pending(t, w.events(t, w.subject(t, "c1"), "e", 30, time.Now()), nil)
	w.rebuild(t, table.Timeline)
	w.exact(t, table.Timeline, 2*30)
	must(t, sink.insert(t.Context(), b, b.block, b.token))
	w.exact(t, table.Timeline, 2*30)
	w.start(t, w.config())
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*30)
}

// TestALateJointInsertAfterTheExchangeIsDropped has an owner announce a joint insert and pause before it sends it.
func TestALateJointInsertAfterTheExchangeIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	batches, k, rows := w.jointly(t, projections.Timeline(), []int{0, 1, 2}, 3)
	w.rebuild(t, table.Timeline)
	w.exact(t, table.Timeline, rows)
	must(t, k.whole(t.Context(), batches))
	w.exact(t, table.Timeline, rows)
}

// TestRebuildFillsUpWhatWasProjectedBeforeTheExchange has records come, and a projector project them, when the new table has
// caught up for the last time. No projector runs afterwards that could bring them.
func TestRebuildFillsUpWhatWasProjectedBeforeTheExchange(t *testing.T) {
	t.Parallel()
	const early, late = 20, 15
	w := newWorld(t, 2)
	s := w.subject(t, "c1")
	w.events(t, s, "early", early, time.Now())
	r := w.start(t, w.config())
	w.caughtUp(t)
	switches := 0
	rebuilt, err := Rebuild(t.Context(), w.config(), w.deps(nil), []string{table.Timeline}, func(at Rebuilding) {
		if at.Step != StepSwitch || switches > 0 {
			return
		}
		switches++
		w.events(t, s, "late", late, time.Now())
		w.caughtUp(t)
		r.stop()
	})
	must(t, err)
	if switches != 1 || rebuilt[0].Generation != 2 || rebuilt[0].Rows != 2*(early+late) {
		t.Errorf("after %d switches: %+v", switches, rebuilt[0])
	}
	w.exact(t, table.Timeline, 2*(early+late))
	w.reconcile(t, Counts{}, table.Timeline)
}

func TestRebuildTakesOverRowsWhoseRecordsTheLogDoesNotHave(t *testing.T) {
	t.Parallel()
	w := filled(t)
	before := w.sums(t)
	var at PartitionReport
	must(t, w.conn.QueryRow(t.Context(), "SELECT _topic, _partition, max(_offset) FROM event_log GROUP BY _topic, _partition ORDER BY 3 DESC LIMIT 1").
		Scan(&at.Topic, &at.Partition, &at.From))
	w.forget(t, at.Topic, at.Partition, 10)
	if done := w.rebuild(t, table.EventLog); done[0].Carried != 10 || done[0].Report.BeforeLog != 10 {
		t.Errorf("%+v", done)
	}
	if w.sums(t)[table.EventLog] != before[table.EventLog] {
		t.Error("event_log is not what it was")
	}
}

// pages reads an object's timeline whose events are all there, and another to which events come, until the context ends.
func (w *world) pages(ctx context.Context) error {
	last := uint64(0)
	for ctx.Err() == nil {
		var whole, growing uint64
		err := w.conn.QueryRow(ctx, "SELECT countIf(object_id = 'c1'), countIf(object_id = 'c2') FROM timeline WHERE object_type = 'CUSTOMER'").
			Scan(&whole, &growing)
		switch {
		case err != nil && ctx.Err() == nil: // one that was cut short says nothing
			return err
		case err != nil:
		case whole != 40 || growing < last:
			return fmt.Errorf("a page has %d rows, want 40; another %d, after %d", whole, growing, last)
		}
		last = growing
	}
	return nil
}

func TestRebuildIsGoneOnWithAfterItWasKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	s := w.subject(t, "c1")
	r := w.start(t, w.config())
	w.events(t, s, "e", 3000, time.Now())
	w.caughtUp(t)
	r.stop()
	cfg := w.config()
	cfg.BatchRows = 50
	next := generation(projections.Timeline(), 2)
	for range 3 {
		before := w.rowsOf(t, next.Table)
		c := w.childOf(t, cfg, []string{table.Timeline})
		w.eventually(t, "the child inserts nothing", func() bool { return w.rowsOf(t, next.Table) > before })
		<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
		must(t, c.Process.Kill())
		_ = c.Wait()
		w.buryIn(t, table.Group(next.Table))
	}
	done := w.rebuild(t, table.Timeline)
	if done[0].Generation != 2 {
		t.Errorf("generation %d was built, want that of the runs that were killed", done[0].Generation)
	}
	w.exact(t, table.Timeline, 2*3000)
	w.reconcile(t, Counts{}, table.Timeline)
}

// TestRebuildIsOnceHoweverOftenItIsKilledBesideAProjector kills it at any moment, the switch included.
func TestRebuildIsOnceHoweverOftenItIsKilledBesideAProjector(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	s := w.subject(t, "c1")
	w.start(t, w.config())
	const rounds = 5
	for i := range rounds {
		w.events(t, s, fmt.Sprintf("e%d", i), 100, time.Now())
		c := w.childOf(t, w.config(), []string{table.Timeline})
		<-time.After(time.Duration(rand.IntN(3000)) * time.Millisecond)
		_ = c.Process.Kill() // it may have come to its end
		_ = c.Wait()
		g, err := findGenerations(t.Context(), w.conn, projections.Timeline())
		must(t, err)
		// The broker would miss the dead one after its session.
		w.buryIn(t, table.Group(generation(projections.Timeline(), g.most).Table))
		w.buryIn(t, table.Group(table.Timeline))
	}
	w.rebuild(t, table.Timeline)
	w.caughtUp(t)
	w.exact(t, table.Timeline, 2*100*rounds)
	w.reconcile(t, Counts{}, table.Timeline)
}

func TestRebuildPassesOverWhatOthersHaveLeft(t *testing.T) {
	t.Parallel()
	w := filled(t)
	watch, err := stream.NewOffsetWatch(w.kafka, stream.Deps{Log: w.log})
	must(t, err)
	defer watch.Close()
	// Killed between making the table and numbering it.
	must(t, w.conn.Exec(t.Context(), "CREATE TABLE timeline_g2 AS timeline"))
	// The third was begun, and then ClickHouse lost its table.
	next, _, err := beginGeneration(t.Context(), w.deps(nil), watch, projections.Timeline())
	must(t, err)
	must(t, w.conn.Exec(t.Context(), "DROP TABLE "+next.Table+" SYNC"))
	must(t, w.conn.Exec(t.Context(), "DROP TABLE timeline_g2 SYNC"))
	if done := w.rebuild(t, table.Timeline); done[0].Generation != 2 || next.Table != "timeline_g3" {
		t.Errorf("generation %d was built after %s", done[0].Generation, next.Table)
	}
	if done := w.rebuild(t, table.Timeline); done[0].Generation != 4 {
		t.Errorf("generation %d was built, want 4: the third has offsets", done[0].Generation)
	}
	w.exact(t, table.Timeline, 2*40+30)

	// A migration came after the begin.
	next, _, err = beginGeneration(t.Context(), w.deps(nil), watch, projections.Objects())
	must(t, err)
	must(t, w.conn.Exec(t.Context(), "ALTER TABLE objects ADD COLUMN later String"))
	if _, err := Rebuild(t.Context(), w.config(), w.deps(nil), []string{table.Objects}, nil); !errors.Is(err, ErrDiffers) {
		t.Errorf("a table without the last migration came into use: %v", err)
	}
	if n := w.rowsOf(t, next.Table); n == 0 {
		t.Error("nothing was built")
	}
}

// rowsOf counts the rows of a table that may not be there yet.
func (w *world) rowsOf(t *testing.T, name string) int {
	t.Helper()
	return w.count(t, "SELECT coalesce(sum(total_rows), 0) FROM system.tables WHERE database = currentDatabase() AND name IN ('"+name+"')")
}

func TestRebuildSwitchesToNoTableThatDiffersFromTheLog(t *testing.T) {
	t.Parallel()
	w := filled(t)
	watch, err := stream.NewOffsetWatch(w.kafka, stream.Deps{Log: w.log})
	must(t, err)
	defer watch.Close()
	next, n, err := beginGeneration(t.Context(), w.deps(nil), watch, projections.Timeline())
	must(t, err)
	must(t, w.conn.Exec(t.Context(), "INSERT INTO "+next.Table+" SELECT * FROM timeline LIMIT 1"))
	if _, err := Rebuild(t.Context(), w.config(), w.deps(nil), []string{table.Timeline}, nil); !errors.Is(err, ErrDiffers) {
		t.Errorf("got %v", err)
	}
	g, err := findGenerations(t.Context(), w.conn, projections.Timeline())
	must(t, err)
	if g.current != 1 || g.building != n {
		t.Errorf("generations are %+v", g)
	}
	w.exact(t, table.Timeline, 2*40+30)
	// Given up, the next one is begun under another number.
	dropped, err := DropOld(t.Context(), w.conn, []string{table.Timeline}, true)
	must(t, err)
	if len(dropped) != 1 || dropped[0] != next.Table {
		t.Errorf("dropped %v", dropped)
	}
	if done := w.rebuild(t, table.Timeline); done[0].Generation != n+1 {
		t.Errorf("generation %d, want %d", done[0].Generation, n+1)
	}
	w.exact(t, table.Timeline, 2*40+30)
}
