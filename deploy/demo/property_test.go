package demo_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/schematest"
)

// seed is printed by a test that fails; another one finds other histories.
const seed = 19990201

// randomTalk takes a conversation through random transitions, decided by the rules of the product.
func randomTalk(t *testing.T, r *rand.Rand, id string, from time.Time) []*conversation.Transition {
	t.Helper()
	var all []*conversation.Transition
	s := &conversation.Snapshot{}
	at := from.Add(time.Duration(r.IntN(6*24*3600)) * time.Second)
	for range 1 + r.IntN(9) {
		// Some come at the same instant, some a day later, and some say that they were before.
		at = at.Add(time.Duration(r.IntN(3)) * []time.Duration{time.Second, time.Minute, 7 * time.Minute, 3 * time.Hour, -time.Minute}[r.IntN(5)] * time.Duration(1+r.IntN(9)))
		at = at.Add(time.Duration(r.IntN(2)*r.IntN(1000)) * time.Millisecond)
		c, who := randomStep(r, id, at)
		for _, tr := range conversation.Decide(s, c, who).Transitions {
			tr.Links = []event.Link{{Type: object.Conversation, ID: id, Kind: event.LinkPrimary}}
			check(t, tr.Complete(s.Conversation))
			s.Conversation = tr.After
			all = append(all, tr)
		}
	}
	return all
}

func randomStep(r *rand.Rand, id string, at time.Time) (*conversation.Command, conversation.Parties) {
	types := append(conversation.Types(), conversation.Queued, conversation.Queued, conversation.Responded, conversation.Transferred, conversation.Closed)
	c := &conversation.Command{
		Workspace: "bank", ConversationID: id, ID: strconv.FormatUint(r.Uint64(), 36), Type: types[r.IntN(len(types))],
		OccurredAt: event.TimeOf(at), ReceivedAt: event.TimeOf(at),
	}
	var who conversation.Parties
	agent := &conversation.Party{Type: object.User, ID: "u" + strconv.Itoa(r.IntN(3))}
	if c.Type == conversation.Opened && r.IntN(2) == 0 {
		who.Customer = &conversation.Party{Type: object.Customer, ID: "c" + strconv.Itoa(r.IntN(5))}
	}
	switch c.Type {
	case conversation.Opened, conversation.Queued:
		c.Team, c.Channel = []string{"", "sales", "help"}[r.IntN(3)], []string{"", "web", "phone"}[r.IntN(3)]
	case conversation.Assigned:
		who.Agent = agent
	case conversation.Responded:
		if who.Agent = agent; r.IntN(4) == 0 {
			who.Agent = &conversation.Party{Type: object.Chatbot, ID: "robot"}
		}
	case conversation.Transferred:
		if c.Team = []string{"sales", "help"}[r.IntN(2)]; r.IntN(2) == 0 {
			c.Team, who.Agent = "", agent
		}
	case conversation.Labeled:
		c.Labels = &[]string{"l" + strconv.Itoa(r.IntN(2))}
	case conversation.Surveyed:
		c.Rating = 1 + r.IntN(5)
	default:
	}
	return c, who
}

// turns are moments at which the clocks of a zone are set: forward, back, by half an hour, and over a whole day.
func turns() map[string][]string {
	return map[string][]string{
		"Europe/Berlin":       {"2025-03-30T01:00:00Z", "2025-10-26T01:00:00Z"},
		"America/New_York":    {"2025-03-09T07:00:00Z", "2025-11-02T06:00:00Z"},
		"Australia/Lord_Howe": {"2025-04-05T15:00:00Z", "2025-10-04T15:30:00Z"},
		"Pacific/Apia":        {"2011-12-30T10:00:00Z", "2012-03-31T14:00:00Z"},
	}
}

// TestReportsSayWhatASlowReferenceSays makes random conversations around the turns of clocks, and compares every figure of
// random reports with loops over everything.
func TestReportsSayWhatASlowReferenceSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed, seed))
	db := schematest.ClickHouse(t)
	var all [][]*conversation.Transition
	var log []*conversation.Transition
	for _, zone := range slices.Sorted(mapKeys(turns())) {
		for _, turn := range turns()[zone] {
			for range 40 {
				id := "k" + strconv.Itoa(len(all))
				all = append(all, randomTalk(t, r, id, instant(t, turn).Add(-3*24*time.Hour)))
			}
		}
	}
	for _, ts := range all {
		log = append(log, ts...)
	}
	// The log has the conversations mixed, each in its order.
	slices.SortStableFunc(log, byTime)
	fill(t, db, log)
	for _, name := range slices.Sorted(mapKeys(turns())) {
		zone, err := time.LoadLocation(name)
		check(t, err)
		address := reports(t, db, zone)
		for range 20 {
			turn := instant(t, turns()[name][r.IntN(2)])
			q := randomReport(r, turn)
			t.Run(strings.ReplaceAll(name+" "+q.Encode(), "/", " "), func(t *testing.T) {
				t.Parallel()
				compare(t, address, all, q, zone)
			})
		}
	}
}

func mapKeys(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	check(t, err)
	return at
}

// randomReport asks for a range around a turn, aligned with nothing.
func randomReport(r *rand.Rand, turn time.Time) url.Values {
	interval := []string{"", "5m", "15m", "1h", "1d", "1w", "1mo"}[r.IntN(7)]
	days := map[string]int{"5m": 1, "15m": 2, "1h": 4, "1mo": 80}[interval]
	if days == 0 {
		days = 9
	}
	span := time.Duration(days) * 24 * time.Hour
	from := turn.Add(-time.Duration(r.Int64N(int64(span)))).Truncate(time.Millisecond)
	to := from.Add(span/2 + time.Duration(r.Int64N(int64(span)))).Truncate(time.Millisecond)
	return url.Values{
		"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}, "interval": {interval},
		"groupBy": {[]string{"", "team", "channel", "agent"}[r.IntN(4)]},
	}
}

func compare(t *testing.T, address string, all [][]*conversation.Transition, q url.Values, zone *time.Location) {
	t.Helper()
	by := q.Get("groupBy")
	want := look(all, by).rows(instant(t, q.Get("from")), instant(t, q.Get("to")), q.Get("interval"), by, zone)
	status, body := get(t, address+"/v1/reports/conversations?"+q.Encode())
	var got struct {
		Data []figures `json:"data"`
	}
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	same := cmp.Comparer(func(a, b event.Time) bool { return a.Equal(b.Time) })
	if diff := cmp.Diff(want, got.Data, same, cmpopts.EquateApprox(1e-9, 1e-9), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
