package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestACallBelongsToWhoCanBeNamed(t *testing.T) {
	t.Parallel()
	base := Call{ID: "1", Opened: at("08:00:00"), Closed: at("08:01:05"), Service: "PS"}
	customer, agent, both := base, base, base
	customer.Customer, customer.Queued = "7", at("08:00:05")
	agent.Agent, agent.Responded = "TOVA", at("08:00:05")
	both.Customer, both.Agent, both.Responded = "7", "TOVA", at("08:00:05")
	tests := []struct {
		name    string
		call    Call
		primary reference
		related []reference
		event   string
		text    string
	}{
		{"nobody", base, reference{"HELPCENTER", "call-centre"}, nil, "Call ended in the menu", "Regular service, left after 1 min 05 s"},
		{"a customer", customer, reference{"CUSTOMER", "7"}, nil, "Call abandoned in the queue", "Regular service, waited 1 min 00 s"},
		{"an agent", agent, reference{"USER", "TOVA"}, nil, "Call answered", "Regular service, talked 1 min 00 s with Tova"},
		{"both", both, reference{"CUSTOMER", "7"}, []reference{{"USER", "TOVA"}}, "Call answered", "Regular service, talked 1 min 00 s with Tova"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := event(test.call)
			if got.reference != test.primary || got.Name != test.event || got.Description != test.text {
				t.Errorf("got %v %q %q", got.reference, got.Name, got.Description)
			}
			if diff := cmp.Diff(test.related, got.Related); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryEventNamesObjectsThatAreMade(t *testing.T) {
	t.Parallel()
	calls, err := Calls(FirstDay)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[reference]bool)
	for _, o := range objects(calls) {
		if made[o.reference] {
			t.Errorf("%s is made twice", o.reference)
		}
		made[o.reference] = true
	}
	for _, c := range calls {
		e := event(c)
		for _, r := range append([]reference{e.reference}, e.Related...) {
			if !made[r] {
				t.Errorf("call %s names %s, which is not made", c.ID, r)
			}
		}
	}
}

func TestAnEventIsWrittenAsTheAPIReadsIt(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(event(Call{
		ID: "c1", Customer: "7", Agent: "TOVA", Service: "IN", Priority: 1, Outcome: "AGENT",
		Opened: at("08:00:00"), Responded: at("08:00:05"), Closed: at("08:00:09"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"objectType":"CUSTOMER","objectId":"7","id":"c1","name":"Call answered",` +
		`"description":"Internet support, talked 4 s with Tova","icon":"📞","source":"call-centre-trace",` +
		`"occurredAt":"1999-02-01T08:00:00Z","relatedObjects":[{"objectType":"USER","objectId":"TOVA"}],` +
		`"payload":{"service":"IN","priority":1,"outcome":"AGENT","agent":"TOVA","opened":"1999-02-01T08:00:00Z",` +
		`"responded":"1999-02-01T08:00:05Z","closed":"1999-02-01T08:00:09Z"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestTheBusiestCustomerIsShown(t *testing.T) {
	t.Parallel()
	calls := []Call{{}, {}, {}, {Customer: "3"}, {Customer: "9"}, {Customer: "9"}, {Customer: "5"}, {Customer: "5"}}
	if got := busiest(calls); got != "5" {
		t.Errorf("got %s, want 5", got)
	}
}

func TestATimelineIsATable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := writeTimeline(&b, reference{"CUSTOMER", "7"}, []row{
		{Name: "Call answered", Description: "a", Icon: "📞", OccurredAt: at("08:00:00").In(time.FixedZone("", 3600))},
		{Name: "Über", Description: "b", OccurredAt: at("09:00:00")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"Timeline of CUSTOMER 7",
		"",
		"  TIME (UTC)           EVENT          WHAT HAPPENED",
		"  1999-02-01 08:00:00  Call answered  a 📞",
		"  1999-02-01 09:00:00  Über           b",
		"",
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestProgressSaysHowFarHowFastAndHowLong(t *testing.T) {
	t.Parallel()
	start := at("08:00:00")
	p := &progress{what: "events", total: 4000, start: start}
	p.add(1000)
	want := "events     1,000 of 4,000 (25 %), 500 a second, 6s left"
	if got := p.line(start.Add(2 * time.Second)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
