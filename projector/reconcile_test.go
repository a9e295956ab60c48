package projector

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
)

func TestComparisonNotesWhatIsMissingExtraAndDoubled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want   []wanted
		there  []identity
		counts Counts
		ranges []Range
	}{
		"nothing on both sides": {},
		"every row once": {
			want: []wanted{{offset: 3, rows: 2}, {offset: 5, rows: 1}}, there: []identity{{3, 0}, {3, 1}, {5, 0}},
		},
		"a record without rows": {want: []wanted{{offset: 3}}},
		"rows at both ends and in the middle are missing": {
			want: []wanted{{offset: 3, rows: 3}, {offset: 4, rows: 3}, {offset: 9, rows: 1}}, there: []identity{{3, 1}, {4, 0}, {4, 2}},
			counts: Counts{Missing: 4}, ranges: []Range{{Missing, 3, 5, 3}, {Missing, 9, 10, 1}},
		},
		"a range goes on over a marker": {
			want: []wanted{{offset: 3, rows: 1}, {offset: 5, rows: 1}}, counts: Counts{Missing: 2}, ranges: []Range{{Missing, 3, 6, 2}},
		},
		"rows of no record, and more than a record gives": {
			want: []wanted{{offset: 3, rows: 1}}, there: []identity{{1, 0}, {3, -1}, {3, 0}, {3, 1}, {8, 0}},
			counts: Counts{Extra: 4}, ranges: []Range{{Extra, 1, 4, 3}, {Extra, 8, 9, 1}},
		},
		"a row three times": {
			want: []wanted{{offset: 3, rows: 2}}, there: []identity{{3, 0}, {3, 1}, {3, 1}, {3, 1}},
			counts: Counts{Doubled: 2}, ranges: []Range{{Doubled, 3, 4, 2}},
		},
		"what the table does not keep may be there or not, but once": {
			want:  []wanted{{offset: 3, rows: 1, may: true}, {offset: 4, rows: 1, may: true}, {offset: 5, rows: 1, may: true}},
			there: []identity{{4, 0}, {5, 0}, {5, 0}}, counts: Counts{Doubled: 1}, ranges: []Range{{Doubled, 5, 6, 1}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r PartitionReport
			err := r.compare(tt.want, func() (id identity, ok bool, err error) {
				if len(tt.there) == 0 {
					return id, false, nil
				}
				id, tt.there = tt.there[0], tt.there[1:]
				return id, true, nil
			})
			must(t, err)
			if diff := cmp.Diff(tt.counts, r.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ranges, r.Ranges); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAReportListsSoManyRangesAndCountsTheRest(t *testing.T) {
	t.Parallel()
	var r PartitionReport
	for i := range int64(maxRanges + 7) {
		r.note(Extra, 10*i, 1)
	}
	if len(r.Ranges) != maxRanges || r.More != 7 || r.Extra != maxRanges+7 {
		t.Errorf("%d ranges, %d more, %d rows", len(r.Ranges), r.More, r.Extra)
	}
}

// filled is a world in which every table has rows, of records in several partitions, and nothing is on its way.
func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 2)
	s := w.subject(t, "c1")
	w.events(t, s, "e", 40, time.Now())
	w.objects(t, s, 20)
	for partition := range 2 {
		w.transitions(t, w.idIn(t, object.Conversation, partition, 2), 15)
		w.deliveries(t, w.idIn(t, object.Account, partition, 2), 10)
	}
	// One that is gone, and one that cannot be transformed.
	w.put(t,
		&stream.Record{Topic: w.kafka.Topic(topic.Objects), Key: topic.Key("ws", string(object.Account), "c1-3")},
		&stream.Record{Topic: w.kafka.Topic(topic.Events), Key: topic.Key("ws", string(object.Customer), "c1"), Value: []byte("{")})
	r := w.start(t, w.config())
	w.caughtUp(t)
	r.stop()
	return w
}

// reconcile compares tables, all where none is named, and fails unless so many rows differ.
func (w *world) reconcile(t *testing.T, want Counts, tables ...string) Report {
	t.Helper()
	report, err := Reconcile(t.Context(), w.deps(nil), Scope{Tables: tables}, nil)
	must(t, err)
	if report.Counts != want {
		t.Errorf("reconcile found %+v, want %+v: %+v", report.Counts, want, report)
	}
	return report
}

func TestReconcileFindsNothingInTablesThatAreRight(t *testing.T) {
	t.Parallel()
	w := filled(t)
	var last Progress
	report, err := Reconcile(t.Context(), w.deps(nil), Scope{}, func(p Progress) { last = p })
	must(t, err)
	if !report.Clean() || len(report.Tables) != len(projections.All()) {
		t.Fatalf("%+v", report)
	}
	want := map[string]int64{
		table.Timeline: 2*40 + 30, table.EventLog: 40, table.Objects: 41, table.Transitions: 30, table.Conversations: 30, table.WebhookAttempts: 20,
	}
	for _, found := range report.Tables {
		if found.Rows != want[found.Table] {
			t.Errorf("%s: the log gives %d rows, want %d", found.Table, found.Rows, want[found.Table])
		}
	}
	if last.Next != last.To {
		t.Errorf("the last progress is %+v", last)
	}
}

func TestReconcileFindsARowThatIsMissing(t *testing.T) {
	t.Parallel()
	w := filled(t)
	for _, p := range projections.All() {
		// A replacing table misses what it has in no later state.
		place := w.place(t, p.Table)
		must(t, w.conn.Exec(t.Context(), fmt.Sprintf(
			"ALTER TABLE %s DELETE WHERE _topic = '%s' AND _partition = %d AND _offset = %d AND _row = 0 SETTINGS mutations_sync = 1",
			p.Table, place.Topic, place.Partition, place.From)))
		report := w.reconcile(t, Counts{Missing: 1}, p.Table)
		want := []Range{{Missing, place.From, place.From + 1, 1}}
		if diff := cmp.Diff(want, rangesAt(report, place.Topic, place.Partition)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Table, diff)
		}
	}
}

func TestReconcileFindsARowThatIsThereTwice(t *testing.T) {
	t.Parallel()
	w := filled(t)
	for _, p := range projections.All() {
		place := w.place(t, p.Table)
		w.again(t, p.Table, place, "")
		if p.Replacing {
			w.reconcile(t, Counts{}, p.Table) // the same state twice is one
			continue
		}
		report := w.reconcile(t, Counts{Doubled: 1}, p.Table)
		want := []Range{{Doubled, place.From, place.From + 1, 1}}
		if diff := cmp.Diff(want, rangesAt(report, place.Topic, place.Partition)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Table, diff)
		}
	}
}

func TestReconcileFindsARowThatNoRecordGives(t *testing.T) {
	t.Parallel()
	w := filled(t)
	for _, p := range projections.All() {
		place := w.place(t, p.Table)
		// Behind the end of the log, and of a partition that there is none of.
		w.again(t, p.Table, place, "_offset + 1000 AS _offset")
		w.reconcile(t, Counts{Extra: 1}, p.Table)
		w.again(t, p.Table, place, "_partition + 100 AS _partition")
		w.reconcile(t, Counts{Extra: 2}, p.Table)
		if !p.Replacing {
			// Between others: a row more than the record gives.
			w.again(t, p.Table, place, "_row + 50 AS _row")
			report := w.reconcile(t, Counts{Extra: 3}, p.Table)
			if n := len(rangesAt(report, place.Topic, place.Partition)); n != 2 {
				t.Errorf("%s: %d ranges, want 2", p.Table, n)
			}
		}
	}
	// The state of an object whose record is another's.
	w.again(t, table.Objects, w.place(t, table.Objects), "'nobody' AS object_id")
	w.reconcile(t, Counts{Extra: 3}, table.Objects)
}

// place is a row of a table: of a replacing table, one of the latest states that is not a tombstone.
func (w *world) place(t *testing.T, name string) PartitionReport {
	t.Helper()
	from, where := name, ""
	switch name {
	case table.Objects:
		from, where = name+" FINAL", " AND deleted = 0"
	case table.Conversations:
		from = name + " FINAL"
	}
	var at PartitionReport
	must(t, w.conn.QueryRow(t.Context(), "SELECT _topic, _partition, _offset FROM "+from+
		" WHERE _row = 0"+where+" ORDER BY _partition, _offset LIMIT 1 OFFSET 1").Scan(&at.Topic, &at.Partition, &at.From))
	return at
}

// again inserts a row once more, with other values in some columns.
func (w *world) again(t *testing.T, name string, at PartitionReport, change string) {
	t.Helper()
	if change != "" {
		change = " REPLACE(" + change + ")"
	}
	must(t, w.conn.Exec(t.Context(), fmt.Sprintf(
		"INSERT INTO %[1]s SELECT *%[5]s FROM (SELECT * FROM %[1]s WHERE _topic = '%[2]s' AND _partition = %[3]d AND _offset = %[4]d AND _row = 0 LIMIT 1) SETTINGS insert_deduplicate = 0",
		name, at.Topic, at.Partition, at.From, change)))
}

func rangesAt(report Report, topic string, partition int32) []Range {
	for _, found := range report.Tables {
		for _, p := range found.Partitions {
			if p.Topic == topic && p.Partition == partition {
				return p.Ranges
			}
		}
	}
	return nil
}

// TestReconcileLeavesOutWhatTheLogDoesNotHave drops the beginning of a partition.
func TestReconcileLeavesOutWhatTheLogDoesNotHave(t *testing.T) {
	t.Parallel()
	w := filled(t)
	var at PartitionReport
	must(t, w.conn.QueryRow(t.Context(), "SELECT _topic, _partition, max(_offset) FROM event_log GROUP BY _topic, _partition ORDER BY 3 DESC LIMIT 1").
		Scan(&at.Topic, &at.Partition, &at.From))
	w.forget(t, at.Topic, at.Partition, 10)
	report := w.reconcile(t, Counts{}, table.EventLog)
	if report.Tables[0].BeforeLog != 10 {
		t.Errorf("%d rows are of records that are gone, want 10", report.Tables[0].BeforeLog)
	}
	if _, err := Reconcile(t.Context(), w.deps(nil), Scope{Tables: []string{"nothing"}}, nil); err == nil {
		t.Error("a table that there is none of was compared")
	}
}

func TestProjectorComparesWhatItProjectedWithTheLogAndSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	w := filled(t)
	place := w.place(t, table.Timeline)
	w.again(t, table.Timeline, place, "")
	cfg := w.config()
	cfg.AuditEvery = time.Millisecond
	r := w.start(t, cfg)
	w.eventually(t, "the doubled row is not seen", func() bool { return r.metric(t, "differing_rows", table.Timeline, Doubled) == 1 })
	if n := r.metric(t, "differing_rows"); n != 1 {
		t.Errorf("%v rows differ in all, want 1", n)
	}
	must(t, w.conn.Exec(t.Context(), "OPTIMIZE TABLE timeline FINAL DEDUPLICATE"))
	w.eventually(t, "the row is still seen twice", func() bool { return r.metric(t, "differing_rows", table.Timeline) == 0 })
	if n := r.metric(t, "audit_failures_total"); n != 0 {
		t.Errorf("%v looks failed", n)
	}
}

// forget has the log drop what is before an offset.
func (w *world) forget(t *testing.T, topic string, partition int32, before int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, before, -1)
	_, err := kadm.NewClient(w.client).DeleteRecords(t.Context(), offsets)
	must(t, err)
}

// A table keeps rows for as long as its definition says, and reconcile knows how long that is.
func TestProjectionsKnowHowLongTheirTablesKeepRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, p := range projections.All() {
		var definition string
		must(t, w.conn.QueryRow(t.Context(), "SHOW CREATE TABLE "+p.Table).Scan(&definition))
		days := 0
		if p.Keeps > 0 {
			days = int(p.Keeps / (24 * time.Hour))
		}
		if got := ttlDays(definition); got != days {
			t.Errorf("%s keeps rows for %d days, its projection says %d", p.Table, got, days)
		}
	}
}

var ttl = regexp.MustCompile(`TTL .*toIntervalDay\((\d+)\)`)

func ttlDays(definition string) int {
	if m := ttl.FindStringSubmatch(definition); m != nil {
		n, _ := strconv.Atoi(m[1]) // the expression has digits
		return n
	}
	return 0
}
