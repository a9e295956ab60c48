package conversation_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/object"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// links writes links as TYPE/id, those that were found over others with <.
func links(ls []event.Link) []string {
	out := make([]string, len(ls))
	for i, l := range ls {
		text := []string{string(l.Type) + "/" + l.ID}
		for _, via := range slices.Backward(l.Via) {
			text = append(text, via.ID)
		}
		out[i] = strings.Join(text, "<")
	}
	return out
}

func TestATransitionHasItsLinksAndIsSealed(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.Put(object.Ref{Type: object.Company, ID: "o1"}, "")
		w.Put(object.Ref{Type: object.Account, ID: "a1"}, "", object.Relation{Type: object.Company, ID: "o1"})
		w.Put(object.Ref{Type: object.Customer, ID: "c1"}, "x1", object.Relation{Type: object.Account, ID: "a1"})
		w.Put(object.Ref{Type: object.User, ID: "u1"}, "")
		w.start()
		w.send(
			w.command("k1", conv.Opened, func(c *conv.Command) {
				c.Customer, c.Attributes = &conv.Reference{ExternalID: "x1"}, `{"page": "/pricing"}`
			}),
			w.command("k1", conv.Responded, func(c *conv.Command) { c.Agent = &conv.Reference{ID: "u1"} }),
			w.command("k1", conv.Transferred, func(c *conv.Command) { c.Agent = &conv.Reference{ExternalID: "nobody"} }),
			w.command("k1", conv.Closed),
			w.command("k1", conv.Surveyed, func(c *conv.Command) { c.Rating, c.Comment = 5, "well done" }),
		)
		w.Settle()
		got := w.transitions()["k1"]
		if len(got) != 5 {
			t.Fatalf("got %d transitions, want 5", len(got))
		}
		customer := []string{"CONVERSATION/k1", "CUSTOMER/c1", "ACCOUNT/a1<c1", "COMPANY/o1<a1<c1"}
		agent := []string{"CONVERSATION/k1", "CUSTOMER/c1", "USER/u1", "ACCOUNT/a1<c1", "COMPANY/o1<a1<c1"}
		for i, want := range [][]string{customer, agent, agent, customer, customer} {
			if diff := cmp.Diff(want, links(got[i].Links)); diff != "" {
				t.Errorf("links of %s (-want +got):\n%s", got[i].Type, diff)
			}
			if got[i].KeyID == "" || got[i].KeyID != got[0].KeyID {
				t.Errorf("%s has the data key %q", got[i].Type, got[i].KeyID)
			}
		}
		if diff := cmp.Diff([]string{"a1"}, got[4].After.Accounts); diff != "" {
			t.Errorf("accounts (-want +got):\n%s", diff)
		}
		for i, want := range map[int]conv.Personal{
			0: {Attributes: `{"page": "/pricing"}`, Named: []object.Lookup{{Type: object.Customer, ExternalID: "x1"}}},
			2: {
				Named:   []object.Lookup{{Type: object.User, ExternalID: "nobody"}},
				Missing: []object.Lookup{{Type: object.User, ExternalID: "nobody"}},
			},
			4: {Comment: "well done"},
		} {
			if diff := cmp.Diff(want, w.open(got[i])); diff != "" {
				t.Errorf("personal part of %s (-want +got):\n%s", got[i].Type, diff)
			}
		}
		if diff := cmp.Diff([]object.Lookup{{Type: object.User, ExternalID: "nobody"}}, w.replies()["cmd-3"][0].Missing); diff != "" {
			t.Errorf("missing (-want +got):\n%s", diff)
		}
		for _, name := range []topic.Name{topic.Conversations, topic.ConversationState} {
			for _, r := range w.Read(name) {
				for _, secret := range []string{"x1", "nobody", "pricing", "well done"} {
					if bytes.Contains(r.Value, []byte(`"`+secret)) || bytes.Contains(r.Value, []byte(secret+`"`)) {
						t.Errorf("%s can be read in %s: %s", secret, name, r.Value)
					}
				}
			}
		}
	})
}

// TestStatesGoOnAfterARestartWithAndWithoutTheLocalStore changes conversations, stops, and goes on: once with the store, and
// once with nothing but the log.
func TestStatesGoOnAfterARestartWithAndWithoutTheLocalStore(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		const many = 30
		each := func(change func(id string) *conv.Command) {
			var all []*conv.Command
			for i := range many {
				all = append(all, change(fmt.Sprintf("k%d", i)))
			}
			stop := w.start()
			w.send(all...)
			w.Settle()
			stop()
		}
		each(func(id string) *conv.Command {
			return w.command(id, conv.Queued, func(c *conv.Command) { c.Team, c.ID = "sales", "first" })
		})
		// A command that changes nothing is remembered all the same.
		each(func(id string) *conv.Command {
			return w.command(id, conv.Queued, func(c *conv.Command) { c.ID = "idle" })
		})
		if err := os.RemoveAll(w.dir); err != nil {
			t.Fatal(err)
		}
		two := int64(2)
		each(func(id string) *conv.Command {
			return w.command(id, conv.Responded, func(c *conv.Command) { c.ExpectedVersion, c.Agent = &two, &conv.Reference{ID: "u1"} })
		})
		for _, repeated := range []string{"first", "idle"} {
			each(func(id string) *conv.Command {
				return w.command(id, conv.Queued, func(c *conv.Command) { c.ID = repeated })
			})
		}
		for id, all := range w.transitions() {
			if len(all) != 3 || all[2].Type != conv.Responded || all[2].Stay == nil || all[2].Stay.Team != "sales" {
				t.Errorf("%s went through %d transitions, the last one is %+v", id, len(all), all[len(all)-1])
			}
		}
		for request, all := range w.replies() {
			if len(all) != 1 || all[0].Refusal != nil {
				t.Errorf("%s is answered %d times: %+v", request, len(all), all[0])
			}
		}
	})
}

func TestWhatIsNoCommandIsADeadLetterAndStopsNothing(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		w.start()
		commands := w.Kafka.Topic(topic.ConversationCommands)
		good := w.command("k1", conv.Queued)
		value, err := good.Encode()
		if err != nil {
			t.Fatal(err)
		}
		wrong := w.command("k1", conv.Labeled, func(c *conv.Command) { c.Labels = &[]string{strings.Repeat("l", 1000)} })
		future := w.command("k1", conv.Queued, func(c *conv.Command) { c.ReceivedAt = event.TimeOf(time.Now().Add(100 * 365 * 24 * time.Hour)) })
		w.send(wrong, future)
		for _, r := range []*stream.Record{
			{Topic: commands, Key: []byte("acme/CONVERSATION/k1"), Value: []byte("oops")},
			{Topic: commands, Key: []byte("acme/CONVERSATION/k1"), Value: nil},
			{Topic: commands, Key: []byte("acme/CONVERSATION/k2"), Value: value},
			{Topic: commands, Key: []byte("acme/CONVERSATION/k1"), Value: bytes.Replace(value, []byte("k1"), []byte("\xff"), 1)},
		} {
			if _, err := w.Producer.Produce(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		w.send(good)
		w.Settle()
		if n := len(w.Read(topic.DeadLetters)); n != 6 {
			t.Errorf("%d dead letters, want 6", n)
		}
		if got := w.transitions(); len(got) != 1 || len(got["k1"]) != 2 {
			t.Errorf("transitions are %v", got)
		}
	})
}

// TestATransitionThatFitsInNoRecordIsRefused has links and labels that are too long together, and nothing of the command stays.
func TestATransitionThatFitsInNoRecordIsRefused(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(w *world) {
		t := w.T
		// Two hundred links, each found over two others, with ids that take six bytes a character in JSON.
		long := func(i int) string { return strings.Repeat("<", 250) + fmt.Sprintf("%06d", i) }
		var accounts []object.Relation
		for i := range 10 {
			var companies []object.Relation
			for j := range 20 {
				id := long(1000 + 20*i + j)
				w.Put(object.Ref{Type: object.Company, ID: id}, "")
				companies = append(companies, object.Relation{Type: object.Company, ID: id})
			}
			w.Put(object.Ref{Type: object.Account, ID: long(i)}, "", companies...)
			accounts = append(accounts, object.Relation{Type: object.Account, ID: long(i)})
		}
		w.Put(object.Ref{Type: object.Customer, ID: long(5000)}, "", accounts...)
		w.start()
		var labels []string
		for i := range conv.MaxLabels {
			labels = append(labels, long(i))
		}
		w.send(
			w.command("k1", conv.Opened, func(c *conv.Command) { c.Customer = &conv.Reference{ID: long(5000)} }),
			w.command("k1", conv.Labeled, func(c *conv.Command) { c.Labels = &labels }),
			w.command("k1", conv.Queued),
		)
		w.Settle()
		replies := w.replies()
		if r := replies["cmd-2"][0]; r.Refusal == nil || r.Refusal.Kind != conv.TooLarge || r.Version != 1 {
			t.Errorf("the large one is answered %+v", r)
		}
		if r := replies["cmd-3"][0]; r.Refusal != nil || r.Version != 2 {
			t.Errorf("the next one is answered %+v", r)
		}
	})
}
