package conversation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
)

func TestTheLeastCommandOfEachTypeIsValid(t *testing.T) {
	t.Parallel()
	for _, typ := range conversation.Types() {
		c := command(typ)
		if v := c.Validate(noon()); len(v) > 0 {
			t.Errorf("%s: %v", typ, v)
		}
		for _, m := range conversation.Members(typ) {
			if m == "" {
				t.Errorf("%s has a member without a name", typ)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", conversation.MaxTextLength)
	minus := int64(-1)
	tests := map[string]struct {
		typ    conversation.Type
		change func(*conversation.Command)
		want   []string
	}{
		"no type":                    {"", func(*conversation.Command) {}, []string{"/type"}},
		"a bad conversation":         {conversation.Queued, func(c *conversation.Command) { c.ConversationID = ".." }, []string{"/conversationId"}},
		"a bad id":                   {conversation.Queued, func(c *conversation.Command) { c.ID = "a\x00" }, []string{"/id"}},
		"a negative version":         {conversation.Queued, func(c *conversation.Command) { c.ExpectedVersion = &minus }, []string{"/expectedVersion"}},
		"a time before 1900":         {conversation.Queued, func(c *conversation.Command) { c.OccurredAt = event.TimeOf(event.Earliest().Add(-1)) }, []string{"/occurredAt"}},
		"a time too far ahead":       {conversation.Queued, func(c *conversation.Command) { c.OccurredAt = event.TimeOf(noon().Add(event.Ahead + time.Second)) }, []string{"/occurredAt"}},
		"the longest team":           {conversation.Queued, func(c *conversation.Command) { c.Team = long }, nil},
		"a team too long":            {conversation.Queued, func(c *conversation.Command) { c.Team = long + "a" }, []string{"/team"}},
		"a channel on two lines":     {conversation.Queued, func(c *conversation.Command) { c.Channel = "a\nb" }, []string{"/channel"}},
		"a member of another type":   {conversation.Queued, func(c *conversation.Command) { c.Agent = &conversation.Reference{ID: "u"} }, []string{"/agent"}},
		"several of them":            {conversation.Queued, func(c *conversation.Command) { c.Reason, c.Comment, c.Rating = "r", "c", 1 }, []string{"/rating", "/comment", "/reason"}},
		"attributes":                 {conversation.Opened, func(c *conversation.Command) { c.Attributes = `{"a":{"b":[1]}}` }, nil},
		"attributes in a list":       {conversation.Opened, func(c *conversation.Command) { c.Attributes = `[1]` }, []string{"/attributes"}},
		"attributes of 129 levels":   {conversation.Opened, func(c *conversation.Command) { c.Attributes = nested(129) }, []string{"/attributes"}},
		"attributes of 128 levels":   {conversation.Opened, func(c *conversation.Command) { c.Attributes = nested(128) }, nil},
		"a customer without an id":   {conversation.Opened, func(c *conversation.Command) { c.Customer = &conversation.Reference{} }, []string{"/customer/objectId"}},
		"a customer's bad ids":       {conversation.Opened, func(c *conversation.Command) { c.Customer = &conversation.Reference{ID: ".", ExternalID: "\x01"} }, []string{"/customer/objectId", "/customer/externalId"}},
		"nobody in a broadcast":      {conversation.Broadcasted, func(c *conversation.Command) { c.Agents = nil }, []string{"/agents"}},
		"an agent without an id":     {conversation.Broadcasted, func(c *conversation.Command) { c.Agents[1] = conversation.Reference{} }, []string{"/agents/1/objectId"}},
		"too many in a broadcast":    {conversation.Broadcasted, func(c *conversation.Command) { c.Agents = make([]conversation.Reference, 51) }, []string{"/agents"}},
		"assigned to nobody":         {conversation.Assigned, func(c *conversation.Command) { c.Agent = nil }, []string{"/agent"}},
		"nobody responded":           {conversation.Responded, func(c *conversation.Command) { c.Agent = nil }, []string{"/agent"}},
		"agent and bot responded":    {conversation.Responded, func(c *conversation.Command) { c.Bot = &conversation.Reference{ID: "b"} }, []string{"/agent"}},
		"a bot responded":            {conversation.Responded, func(c *conversation.Command) { c.Agent, c.Bot = nil, &conversation.Reference{ID: "b"} }, nil},
		"transferred nowhere":        {conversation.Transferred, func(c *conversation.Command) { c.ToQueue = false }, []string{"/agent"}},
		"transferred to two":         {conversation.Transferred, func(c *conversation.Command) { c.Agent = &conversation.Reference{ID: "u"} }, []string{"/agent"}},
		"transferred to a team":      {conversation.Transferred, func(c *conversation.Command) { c.Team = "t" }, nil},
		"transferred to an agent":    {conversation.Transferred, func(c *conversation.Command) { c.ToQueue, c.Agent = false, &conversation.Reference{ID: "u"} }, nil},
		"no labels":                  {conversation.Labeled, func(c *conversation.Command) { c.Labels = nil }, []string{"/labels"}},
		"all labels taken away":      {conversation.Labeled, func(c *conversation.Command) { c.Labels = &[]string{} }, nil},
		"the most labels":            {conversation.Labeled, func(c *conversation.Command) { c.Labels = labels(conversation.MaxLabels, long) }, nil},
		"a label too many":           {conversation.Labeled, func(c *conversation.Command) { c.Labels = labels(conversation.MaxLabels+1, "l") }, []string{"/labels"}},
		"a label of 10,000":          {conversation.Labeled, func(c *conversation.Command) { c.Labels = labels(1, strings.Repeat("l", 10_000)) }, []string{"/labels/0"}},
		"an empty label":             {conversation.Labeled, func(c *conversation.Command) { c.Labels = &[]string{"a", ""} }, []string{"/labels/1"}},
		"a survey without an answer": {conversation.Surveyed, func(c *conversation.Command) { c.Rating = 0 }, []string{"/rating"}},
		"a comment alone":            {conversation.Surveyed, func(c *conversation.Command) { c.Rating, c.Comment = 0, "nice\nreally" }, nil},
		"a rating of 6":              {conversation.Surveyed, func(c *conversation.Command) { c.Rating = 6 }, []string{"/rating"}},
		"a rating of -1":             {conversation.Surveyed, func(c *conversation.Command) { c.Rating = -1 }, []string{"/rating"}},
		"a comment too long":         {conversation.Surveyed, func(c *conversation.Command) { c.Comment = strings.Repeat("c", conversation.MaxCommentLength+1) }, []string{"/comment"}},
		"a reason too long":          {conversation.Closed, func(c *conversation.Command) { c.Reason = long + long }, []string{"/reason"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := command(tt.typ)
			tt.change(c)
			var got []string
			for _, v := range c.Validate(noon()) {
				got = append(got, v.Pointer)
				if v.Detail == "" {
					t.Errorf("%s has no detail", v.Pointer)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pointers (-want +got):\n%s", diff)
			}
		})
	}
}

func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

func labels(n int, text string) *[]string {
	all := make([]string, n)
	for i := range all {
		all[i] = text
	}
	return &all
}

func TestNamesOfTransitionsAndStates(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]conversation.Type{"queued": "queued", "rated": "surveyed", "surveyed": "surveyed", "Queued": "", "": "", "open": ""} {
		if got, err := conversation.ParseType(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]conversation.State{"QUEUED": "QUEUED", "queued": "QUEUED", "": "", "none": ""} {
		if got, err := conversation.ParseState(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

func TestCommandsNeedWhatDecidingNeeds(t *testing.T) {
	t.Parallel()
	whole := `"workspace":"w","conversationId":"k","id":"i","type":"queued","receivedAt":1`
	if _, err := conversation.ParseCommand([]byte(`{"v":1,` + whole + `,"from":"the future"}`)); err != nil {
		t.Error(err)
	}
	for _, value := range []string{
		`{"v":2,` + whole + `}`, `{` + whole + `}`, `{"v":1}`, `{`, `null`, `[]`, `{"v":1,` + strings.Replace(whole, "queued", "shouted", 1) + `}`,
	} {
		if c, err := conversation.ParseCommand([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", value, c)
		}
	}
}

// FuzzCommandsSurviveTheirOwnForm reads any bytes, and decides what they ask for if they are a command.
func FuzzCommandsSurviveTheirOwnForm(f *testing.F) {
	f.Add([]byte(`{"v":1,"workspace":"w","conversationId":"k","request":"r","id":"i","type":"labeled","receivedAt":1772366400123,"labels":["a"]}`))
	f.Add([]byte(`{"v":1,"workspace":"w","conversationId":"k","id":"i","type":"responded","receivedAt":1,"bot":{"externalId":"x"},"expectedVersion":0}`))
	f.Add([]byte(`{"v":1,"workspace":"w","conversationId":"k","id":"i","type":"surveyed","receivedAt":"1900-01-01T00:00:00Z","rating":9,"comment":"\u0000"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := conversation.ParseCommand(value)
		if err != nil {
			return
		}
		if c.Type, err = conversation.ParseType(string(c.Type)); err != nil {
			t.Fatal(err)
		}
		if len(c.Validate(noon())) > 0 {
			return
		}
		encoded, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := conversation.ParseCommand(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("command (-want +got):\n%s", diff)
		}
		if _, d := take(t, &conversation.Snapshot{}, c); d.Refusal != nil && d.Refusal.Kind != conversation.VersionConflict {
			t.Fatal(fmt.Sprint("a new conversation refuses ", c.Type))
		}
	})
}
