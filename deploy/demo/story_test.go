package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/deploy/replay"
)

func TestTheBusiestCustomerIsShown(t *testing.T) {
	t.Parallel()
	calls := []replay.Call{{}, {}, {}, {Customer: "3"}, {Customer: "9"}, {Customer: "9"}, {Customer: "5"}, {Customer: "5"}}
	if got := busiest(calls); got != "5" {
		t.Errorf("got %s, want 5", got)
	}
}

// TestAMomentHasWhatHadHappenedByThen has a call that is over at the moment, one that waits, one that has just been
// answered, and one that has not come yet.
func TestAMomentHasWhatHadHappenedByThen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	calls := []replay.Call{
		{ID: "over", Opened: at("09:00:00"), Queued: at("09:00:05"), Responded: at("09:10:00"), Closed: at("09:59:59"), Agent: "TOVA"},
		{ID: "waits", Opened: at("09:59:00"), Queued: at("09:59:10"), Responded: at("10:00:01"), Closed: at("10:05:00"), Agent: "TOVA"},
		{ID: "talks", Opened: at("09:50:00"), Queued: at("09:50:10"), Responded: at("10:00:00"), Closed: at("10:05:00"), Agent: "DORIT"},
		{ID: "later", Opened: at("10:00:01"), Closed: at("10:00:02")},
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	want := []replay.Call{
		{ID: "1772366400-over", Opened: ago(time.Hour), Queued: ago(59*time.Minute + 55*time.Second), Responded: ago(50 * time.Minute), Closed: ago(time.Second), Agent: "TOVA"},
		{ID: "1772366400-waits", Opened: ago(time.Minute), Queued: ago(50 * time.Second), Agent: "TOVA"},
		{ID: "1772366400-talks", Opened: ago(10 * time.Minute), Queued: ago(9*time.Minute + 50*time.Second), Responded: now, Agent: "DORIT"},
	}
	so := until(calls, at("10:00:00"), now)
	if diff := cmp.Diff(want, so); diff != "" {
		t.Errorf("at the moment (-want +got):\n%s", diff)
	}
	want = want[1:]
	want[0].Closed, want[1].Closed = now.Add(time.Minute), now.Add(time.Minute)
	if diff := cmp.Diff(want, hungUp(so, now.Add(time.Minute))); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

func TestATimelineIsATable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := writeTimeline(&b, "7", []row{
		{Name: "Call answered", Description: "a", Icon: "📞", OccurredAt: at("08:00:00").In(time.FixedZone("", 3600))},
		{Name: "Über", Description: "b", OccurredAt: at("09:00:00")},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, b.String(),
		"",
		"Timeline of CUSTOMER 7",
		"",
		"  TIME (UTC)           WHAT           HOW",
		"  1999-02-01 08:00:00  Call answered  a 📞",
		"  1999-02-01 09:00:00  Über           b",
		"")
}

func TestAReportIsATable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	wait, team, moment := 65.4, "PE", at("09:58:08")
	err := writeReport(&b, FirstDay, []figures{
		{Conversations: 1567, Queued: 853, Responded: 1333, AbandonedInQueue: 162, WaitAvgSeconds: &wait, Agents: 16, MaxQueueSize: 8, MaxQueueAt: &moment},
		{Group: &team, Conversations: 1},
		{Conversations: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, b.String(),
		"",
		"Report of 1999-02-01",
		"",
		"  TEAM                 CALLS  QUEUED  ANSWERED  ABANDONED        WAIT  90 %  TALK  AGENTS  LONGEST QUEUE        AT",
		"  all                  1,567     853     1,333        162  1 min 05 s     -     -      16              8  09:58:08",
		"  PE regular, English      1       0         0          0           -     -     -       0              0         -",
		"  none                     2       0         0          0           -     -     -       0              0         -",
		"")
}

func wantText(t *testing.T, got string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(lines, "\n"), got); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}
