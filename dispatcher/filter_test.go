package dispatcher

import (
	"strings"
	"testing"

	"github.com/throughline/throughline/schema/webhook"
)

// TestFiltersSeeTheTypeAndTheDataOfEveryTypeOfEvent evaluates filters on the examples of the catalogue.
func TestFiltersSeeTheTypeAndTheDataOfEveryTypeOfEvent(t *testing.T) {
	t.Parallel()
	f, err := newFilters()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := examples()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		eventType, expression string
		matches, fails        bool
	}{
		"the type":                     {webhook.ConversationClosed, `type == "conversation.closed"`, true, false},
		"another type":                 {webhook.ConversationClosed, `type.startsWith("queue.")`, false, false},
		"a member of the conversation": {webhook.ConversationResponded, `data.conversation.team == "sales" && data.conversation.waitingSeconds > 10`, true, false},
		"a member of the transition":   {webhook.ConversationSurveyed, `data.transition.rating >= 4`, true, false},
		"a list":                       {webhook.ConversationLabeled, `"billing" in data.conversation.labels`, true, false},
		"a null":                       {webhook.ConversationOpened, `data.conversation.agent == null`, true, false},
		"a queue":                      {webhook.QueueFormed, `data.queue.size >= 3 && data.cause.type == "queued"`, true, false},
		"a payload":                    {webhook.EventLinked, `data.event.payload.company == "Atlas"`, true, false},
		"a link":                       {webhook.EventLinked, `data.links.exists(l, l.objectType == "ACCOUNT")`, true, false},
		"what is not there":            {webhook.ConversationClosed, `data.transition.rating > 3`, false, true},
		"what may not be there":        {webhook.ConversationClosed, `has(data.transition.rating) && data.transition.rating > 3`, false, false},
		"no boolean after all":         {webhook.ConversationClosed, `data.conversation.team`, false, true},
		"too much work": {
			webhook.ConversationClosed,
			`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, a+b+c+d > 0))))`,
			false, true,
		},
	} {
		compiled, err := f.compile(tt.expression)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		data, err := parseData(shown[tt.eventType])
		if err != nil {
			t.Fatal(err)
		}
		if matches, err := compiled.matches(tt.eventType, data); matches != tt.matches || (err != nil) != tt.fails {
			t.Errorf("%s: got %t, %v", name, matches, err)
		}
	}
	for expression, says := range map[string]string{
		"1 +":             "CEL",
		"data.event.name": "",
		"size(type)":      "true or false",
		"nobody == 1":     "nobody",
	} {
		_, err := f.compile(expression)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", expression, err, says)
		}
	}
}
