package conversation

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
)

func moment(minute int) event.Time {
	return event.TimeOf(time.Date(2024, 2, 29, 23, minute, 59, 999e6, time.UTC))
}

// The whole ones have every member that a record may have.

func wholeCommand() Command {
	one := &Reference{ID: "c1", ExternalID: "77"}
	return Command{
		Form: 1, Workspace: "acme", ConversationID: "k/1", Request: "r/1", ID: "cmd <1>", Type: Opened, ExpectedVersion: new(int64(1 << 40)),
		OccurredAt: moment(1), ReceivedAt: moment(2), Customer: one, Agent: one, Bot: one, Agents: []Reference{*one, {ID: "u"}, {ExternalID: "e"}},
		Team: "sales & more", Channel: "web", Proactive: true, ToQueue: true, Labels: &[]string{"a", "\"b\" \u2028 שלום 📖"}, Rating: 5,
		Comment: "tab\tline\nnul\x00", Reason: "solved", Attributes: `{"page": "https://example.com/?a=1&b=2","price":1.10}`,
	}
}

func wholeState() Conversation {
	party := &Party{Type: object.Customer, ID: "c1", ExternalToken: "tok"}
	return Conversation{
		Workspace: "acme", ID: "k/1", Version: 7, State: StateQueued, Customer: party, Accounts: []string{"a1", "a2"}, Agent: party,
		Team: "sales", Channel: "web", Proactive: true, Labels: []string{"x"}, Rating: 4, Reason: "r", OpenedAt: moment(1), QueuedAt: moment(2),
		TeamQueuedAt: moment(3), FirstRespondedAt: moment(4), ClosedAt: moment(5), LastTransitionAt: moment(6), Stays: 3,
		WaitedMillis: 12_345_678_901, KeyID: "key",
	}
}

func wholeTransition() Transition {
	party := &Party{Type: object.User, ID: "u1", ExternalToken: "tok"}
	return Transition{
		Form: 1, Workspace: "acme", ConversationID: "k/1", Version: 7, Type: Transferred, CommandID: "cmd", From: StateOpen, To: StateQueued,
		OccurredAt: moment(6), ReceivedAt: moment(7), Implied: true, First: new(false), Customer: party, Agent: party,
		Agents: []Party{*party, {Type: object.User}}, Team: "sales", Channel: "web", Proactive: true, ToQueue: true, Labels: []string{"x", "y"},
		Rating: 4, Reason: "r", Stay: &Stay{From: moment(1), Began: moment(0), Team: "t", Channel: "c", Continues: true},
		Links: []event.Link{
			{Type: object.Conversation, ID: "k/1", Kind: event.LinkPrimary},
			{Type: object.Account, ID: "a", Kind: event.LinkRelated, Via: []object.Ref{{Type: object.Customer, ID: "c"}, {Type: object.User, ID: "u"}}},
		},
		LinksDropped: 3, KeyID: "key", Sealed: []byte{0, 1, 2, 255}, After: wholeState(),
	}
}

func wholeSnapshot() Snapshot {
	return Snapshot{Form: 1, Conversation: wholeState(), Commands: []Remembered{{"c<", 1, 1_700_000_000_000}, {"d", 2, 0}}}
}

func wholeReply() Reply {
	return Reply{
		Form: 1, Request: "r/1", Workspace: "acme", ConversationID: "k/1", CommandID: "cmd", Version: 7, State: StateQueued, Changed: true,
		Missing: []object.Lookup{{Type: object.User, ID: "u"}, {Type: object.Customer, ExternalID: "x"}},
		Refusal: &Refusal{Kind: NotAllowed, Detail: "it's <no>"},
	}
}

// sameBytes holds what is written by hand to encoding/json.
func sameBytes(t *testing.T, record any, value []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(value)); diff != "" {
		t.Errorf("record (-standard library +by hand):\n%s", diff)
	}
}

// everyMember fails where the example of a type lacks a member, so that one which is added is not forgotten.
func everyMember(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		field := v.Field(i)
		if field.IsZero() {
			t.Errorf("the example of %s has no %s", v.Type(), v.Type().Field(i).Name)
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[event.Time]() {
			everyMember(t, field)
		}
	}
}

func TestRecordsAreWrittenAndReadWithoutReflection(t *testing.T) {
	t.Parallel()
	command, transition, snapshot, reply := wholeCommand(), wholeTransition(), wholeSnapshot(), wholeReply()
	for _, v := range []any{command, transition, snapshot, reply} {
		everyMember(t, reflect.ValueOf(v))
	}
	value, err := command.Encode()
	sameBytes(t, command, value, err)
	isRead(t, value, command, decodeCommand)
	value, err = transition.Encode()
	sameBytes(t, transition, value, err)
	isRead(t, value, transition, decodeTransition)
	value, err = snapshot.Encode()
	sameBytes(t, snapshot, value, err)
	isRead(t, value, snapshot, decodeSnapshot)
	value, err = reply.Encode()
	sameBytes(t, reply, value, err)
	isRead(t, value, reply, decodeReply)
}

func isRead[T any](t *testing.T, value []byte, want T, decode func(string) (T, bool)) {
	t.Helper()
	got, ok := decode(string(value))
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("%T is odd (%t):\n%s", want, !ok, diff)
	}
}

func TestWhatIsLeftOutIsWrittenAsByTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, labels := range []*[]string{nil, {}, new([]string(nil))} {
		c := Command{Labels: labels, Customer: &Reference{}, Agents: []Reference{{}, {ID: "u"}}}
		value, err := c.Encode()
		sameBytes(t, c, value, err)
	}
	transition, snapshot, reply := Transition{Stay: &Stay{}, Agent: &Party{}}, Snapshot{}, Reply{}
	value, err := transition.Encode()
	sameBytes(t, transition, value, err)
	transition.Links = []event.Link{}
	value, err = transition.Encode()
	sameBytes(t, transition, value, err)
	value, err = snapshot.Encode()
	sameBytes(t, snapshot, value, err)
	value, err = reply.Encode()
	sameBytes(t, reply, value, err)
}

// FuzzEncodeIsThatOfTheStandardLibrary proves that what is written by hand are the same bytes.
func FuzzEncodeIsThatOfTheStandardLibrary(f *testing.F) {
	f.Add("acme", "k1", "sales", "a\"b", int64(7), int64(1772366400123), true, uint8(3))
	f.Add("", "\xff", "<b>&</b>", "tab\tline\nnul\x00", int64(-1), int64(0), false, uint8(0))
	f.Add("é", "\u2028", "\u202a\x7f", "x\\y", int64(1<<62), int64(-62135596800001), true, uint8(255))
	f.Fuzz(func(t *testing.T, workspace, id, team, text string, n, ms int64, flag bool, mask uint8) {
		var at event.Time
		if ms != 0 {
			at = event.TimeOf(time.UnixMilli(ms % (1 << 47)))
		}
		c := Command{
			Workspace: workspace, ConversationID: id, Request: text, ID: text, Type: Type(team), OccurredAt: at, ReceivedAt: at, Team: team,
			Channel: text, Proactive: flag, ToQueue: flag, Rating: int(mask), Comment: text, Reason: team, Attributes: text,
		}
		state := Conversation{
			Workspace: workspace, ID: id, Version: n, State: State(team), Team: team, Channel: text, Proactive: flag, Rating: int(mask),
			Reason: text, OpenedAt: at, QueuedAt: at, ClosedAt: at, LastTransitionAt: at, Stays: int(mask), WaitedMillis: n, KeyID: text,
		}
		tr := Transition{
			Workspace: workspace, ConversationID: id, Version: n, Type: Type(team), CommandID: text, To: State(text), OccurredAt: at,
			ReceivedAt: at, Implied: flag, Team: team, LinksDropped: int(mask), Sealed: []byte(text), After: state,
		}
		r := Reply{Request: id, Workspace: workspace, ConversationID: id, CommandID: text, Version: n, State: State(team), Changed: flag}
		if mask&1 != 0 {
			c.ExpectedVersion, c.Customer, c.Labels = &n, &Reference{ID: id, ExternalID: text}, &[]string{team, text}
			tr.Labels, tr.First, tr.Stay = *c.Labels, &flag, &Stay{From: at, Team: team, Continues: flag}
			tr.Links = []event.Link{{Type: object.Type(team), ID: id, Via: []object.Ref{{Type: object.Type(text), ID: id}}}}
			r.Refusal = &Refusal{RefusalKind(team), text}
		}
		if mask&2 != 0 {
			c.Agents = []Reference{{ID: text}, {ExternalID: id}}
			tr.Agents = []Party{{object.Type(team), id, text}, {}}
			tr.Agent, tr.After.Accounts = &tr.Agents[0], []string{id, text}
			r.Missing = []object.Lookup{{Type: object.Type(team), ID: id, ExternalID: text}}
		}
		s := Snapshot{Conversation: tr.After, Commands: []Remembered{{text, n, ms}}}
		value, err := c.Encode()
		sameBytes(t, c, value, err)
		value, err = tr.Encode()
		sameBytes(t, tr, value, err)
		value, err = s.Encode()
		sameBytes(t, s, value, err)
		value, err = r.Encode()
		sameBytes(t, r, value, err)
	})
}

// FuzzDecodeAgreesWithEncodingJSON holds the quick readers to the rule: what they read at all, they read as the standard
// library does.
func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	command, transition, snapshot, reply := wholeCommand(), wholeTransition(), wholeSnapshot(), wholeReply()
	for _, v := range []any{command, transition, snapshot, reply} {
		value, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(value))
		f.Add(strings.Replace(string(value), `"v":1`, `"v":1,"v":2`, 1))
		f.Add(strings.Replace(string(value), `true`, `null`, 1))
		f.Add(strings.Replace(string(value), `"k/1"`, `"\u006b\/1"`, 1))
	}
	for _, seed := range []string{
		`{}`, `{"v":01}`, `{"labels":[]}`, `{"version":-1}`, `{"version":9999999999999999999}`, `{"first":falsey}`, `{"after":{}}`,
		`{"commands":[{"c":"x","n":1,"t":1}]}`, `{"agents":[{"objectId":"a"}]}`, `{"customer":null}`, `{"V":1}`, `{"implied":tru}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		agree(t, value, decodeCommand)
		agree(t, value, decodeTransition)
		agree(t, value, decodeSnapshot)
		agree(t, value, decodeReply)
	})
}

func agree[T any](t *testing.T, value string, decode func(string) (T, bool)) {
	t.Helper()
	got, ok := decode(value)
	if !ok {
		return
	}
	var want T
	if err := json.Unmarshal([]byte(value), &want); err != nil {
		t.Fatalf("%q is read, but is no %T: %v", value, want, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-encoding/json +ours):\n%s", value, diff)
	}
}

// BenchmarkRecordsOfATransition writes and reads what goes through the log for one: the command, the transition, the
// snapshot and the reply.
func BenchmarkRecordsOfATransition(b *testing.B) {
	command, transition, snapshot, reply := wholeCommand(), wholeTransition(), wholeSnapshot(), wholeReply()
	values := make([][]byte, 0, 4)
	for _, v := range []any{command, transition, snapshot, reply} {
		value, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		values = append(values, value)
	}
	b.Run("write by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, encode := range []func() ([]byte, error){command.Encode, transition.Encode, snapshot.Encode, reply.Encode} {
				if _, err := encode(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("write by encoding json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range []any{&command, &transition, &snapshot, &reply} {
				if _, err := json.Marshal(v); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("read by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, a := decodeCommand(string(values[0]))
			_, c := decodeTransition(string(values[1]))
			_, d := decodeSnapshot(string(values[2]))
			if _, e := decodeReply(string(values[3])); !a || !c || !d || !e {
				b.Fatal("a record is odd")
			}
		}
	})
	b.Run("read by encoding json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i, v := range []any{new(Command), new(Transition), new(Snapshot), new(Reply)} {
				if err := json.Unmarshal(values[i], v); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
