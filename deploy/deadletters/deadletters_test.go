package deadletters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/ingest/derive"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// linker stands for a linker with a mistake: until it is mended it cannot read what begins with "new".
type linker struct {
	derive.Records

	mended atomic.Bool
}

func (l *linker) Load(context.Context, int32, *stream.OutputReader) error { return nil }
func (l *linker) Commit(context.Context, []stream.Done) error             { return nil }
func (l *linker) Discard()                                                {}
func (l *linker) Unload(int32)                                            {}

func (l *linker) Process(_ context.Context, p int32, in []*stream.Record) ([]*stream.Record, error) {
	out := make([]*stream.Record, 0, len(in))
	for _, r := range in {
		if bytes.HasPrefix(r.Value, []byte("new")) && !l.mended.Load() {
			letter, err := l.DeadLetter(link.Group, "does not know\nthis version", "", event.TimeOf(r.Timestamp), r)
			if err != nil {
				return nil, err
			}
			out = append(out, letter)
			continue
		}
		out = append(out, l.Record(topic.Events, p, r.Key, r.Value, r, topic.Envelope{}))
	}
	return out, nil
}

// world is a Kafka with a linker that reads submissions.
type world struct {
	kafka  stream.Config
	deps   stream.Deps
	linker *linker
}

func newWorld(t *testing.T, brokers []string, kfake bool) *world {
	t.Helper()
	w := &world{
		kafka: stream.Config{Brokers: brokers, ClientID: "test", Prefix: strings.TrimSuffix(schematest.Prefix(t), "."), Embedded: kfake},
		deps:  stream.Deps{Log: slog.New(slog.DiscardHandler)},
	}
	var specs []topic.Spec
	for _, s := range topic.Layout(2) {
		switch s.Name {
		case topic.Submissions, topic.Events, topic.DeadLetters:
			specs = append(specs, s)
		default:
		}
	}
	if _, err := stream.EnsureTopics(t.Context(), w.kafka, w.deps, specs, 1); err != nil {
		t.Fatal(err)
	}
	if err := stream.CommitInitialOffsets(t.Context(), w.kafka, w.deps, link.Group, []topic.Name{topic.Submissions}); err != nil {
		t.Fatal(err)
	}
	w.linker = &linker{Records: derive.Records{Kafka: w.kafka}}
	p, err := stream.NewProcessor(w.kafka, stream.ProcessorConfig{
		Role: link.Group, Instance: "a", Input: topic.Submissions, Outputs: []topic.Name{topic.Events, topic.DeadLetters},
	}, w.linker, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("linker: %v", err)
		}
	})
	return w
}

// submit appends to partition 1 of submissions.
func (w *world) submit(t *testing.T, values ...string) {
	t.Helper()
	client, err := stream.Open(w.kafka, w.deps.Log, nil, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, v := range values {
		r := &stream.Record{
			Topic: w.kafka.Topic(topic.Submissions), Partition: 1, Key: []byte("k"), Value: []byte(v),
			Headers: []stream.Header{{Key: "producer", Value: []byte("till-7")}},
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// values are the values of a topic in the order of partition 1, with what they retry.
func (w *world) values(t *testing.T, name topic.Name) []string {
	t.Helper()
	var got []string
	err := stream.ReadTopic(t.Context(), w.kafka, w.deps, name, func(r *stream.Record) error {
		text := fmt.Sprintf("%d %s", r.Partition, r.Value)
		if of, ok := stream.HeaderValue(r, topic.HeaderRetryOf); ok {
			producer, _ := stream.HeaderValue(r, "producer")
			text += " from " + producer + " retries " + strings.TrimPrefix(of, link.Group+"/"+w.kafka.Prefix+".")
		}
		got = append(got, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// letters waits until there are n dead letters.
func (w *world) letters(t *testing.T, n int) []*Letter {
	t.Helper()
	var got []*Letter
	eventually(t, fmt.Sprintf("%d dead letters", n), func() (bool, error) {
		var err error
		got, err = List(t.Context(), w.kafka, w.deps, Filter{})
		return len(got) >= n, err
	})
	return got
}

func eventually(t *testing.T, what string, ask func() (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

func (w *world) retry(t *testing.T, id ID) Outcome {
	t.Helper()
	done, err := Retry(t.Context(), w.kafka, w.deps, id)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestARetriedRecordComesOnceToTheConsumerThatRefusedIt(t *testing.T) {
	t.Parallel()
	for name, brokers := range map[string]func(testing.TB) []string{"kfake": schematest.Kfake, "apache": schematest.ApacheKafka} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, brokers(t), name == "kfake")
			w.submit(t, "old 1", "new 2", "old 3")
			letters := w.letters(t, 1)
			id := ID{link.Group, w.kafka.Topic(topic.Submissions), 1, 1}
			if l := letters[0]; l.ID() != id || string(l.Value) != "new 2" || l.State() != "open" {
				t.Fatalf("got %+v", l)
			}

			// The linker is not mended yet: the record is a dead letter once more, by another name.
			if done := w.retry(t, id); done.Already {
				t.Errorf("got %+v", done)
			}
			letters = w.letters(t, 2)
			again := letters[1].ID()
			if l := letters[0]; l.State() != "failed again" || l.Again != again || l.RetriedAt.IsZero() {
				t.Errorf("got %+v", l)
			}

			w.linker.mended.Store(true)
			if done := w.retry(t, again); done.Already {
				t.Errorf("got %+v", done)
			}
			for _, id := range []ID{id, again} {
				if done := w.retry(t, id); !done.Already || done.RetriedAt.IsZero() {
					t.Errorf("a second retry: got %+v", done)
				}
			}
			place := func(offset int64) string { return topic.Origin("submissions.v1", 1, offset) }
			want := []string{
				"1 old 1", "1 new 2", "1 old 3", "1 new 2 from till-7 retries " + place(1), "1 new 2 from till-7 retries " + place(again.Offset),
			}
			if diff := cmp.Diff(want, w.values(t, topic.Submissions)); diff != "" {
				t.Errorf("submissions (-want +got):\n%s", diff)
			}
			var events []string
			eventually(t, "the event", func() (bool, error) {
				events = w.values(t, topic.Events)
				return len(events) == 3, nil
			})
			if diff := cmp.Diff([]string{"1 old 1", "1 old 3", "1 new 2"}, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			open, err := List(t.Context(), w.kafka, w.deps, Filter{Group: link.Group, Topic: "submissions.v1", Open: true})
			if err != nil || len(open) != 0 || len(w.letters(t, 2)) != 2 {
				t.Errorf("open: got %d letters, %v", len(open), err)
			}
		})
	}
}

func TestRetriesAtTheSameTimePutARecordBackOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.ApacheKafka(t), false)
	w.submit(t, "new")
	id := w.letters(t, 1)[0].ID()
	w.linker.mended.Store(true)
	var group errgroup.Group
	var fresh atomic.Int32
	for range 4 {
		group.Go(func() error {
			// Whoever is fenced by a later one hears so, and may ask again.
			if done, err := Retry(t.Context(), w.kafka, w.deps, id); err == nil && !done.Already {
				fresh.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if done := w.retry(t, id); fresh.Load() > 0 && !done.Already {
		t.Errorf("got %+v", done)
	}
	if n := len(w.values(t, topic.Submissions)); n != 2 || fresh.Load() > 1 {
		t.Errorf("%d submissions after %d retries that say they did it, want 2 and at most 1", n, fresh.Load())
	}
}

func TestWhatOthersHaveUsedIsNotPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true)
	letter := event.DeadLetter{Group: w.kafka.Group("projector.timeline"), Topic: w.kafka.Topic(topic.Events), Reason: "no JSON", Value: []byte("x")}
	value, err := letter.Encode()
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Exclusive(t.Context(), w.kafka, w.deps, "plant", func(context.Context) ([]*stream.Record, error) {
		return []*stream.Record{{Topic: w.kafka.Topic(topic.DeadLetters), Value: []byte("no letter")}, {Topic: w.kafka.Topic(topic.DeadLetters), Value: value}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l := w.letters(t, 1)[0]
	if _, err := Retry(t.Context(), w.kafka, w.deps, l.ID()); !errors.Is(err, errRebuild) {
		t.Errorf("got %v", err)
	}
	if _, err := Retry(t.Context(), w.kafka, w.deps, ID{link.Group, w.kafka.Topic(topic.Submissions), 0, 99}); err == nil || !strings.Contains(err.Error(), "no dead letter") {
		t.Errorf("got %v", err)
	}
	if got := w.values(t, topic.Events); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	for f, want := range map[Filter]int{{Group: "projector.timeline"}: 1, {Group: "link"}: 0, {Topic: string(topic.Events)}: 1, {Topic: l.Topic}: 1, {Topic: "x"}: 0} {
		if got, err := List(t.Context(), w.kafka, w.deps, f); err != nil || len(got) != want {
			t.Errorf("%+v: got %d letters, %v, want %d", f, len(got), err, want)
		}
	}
}

func TestOnlyQueuesTakeRecordsBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		group string
		name  topic.Name
		want  bool
	}{
		{"link", topic.Submissions, true},
		{"conversation", topic.ConversationCommands, true},
		{"webhook-send", topic.WebhookDeliveries, true},
		{"webhook-retry", topic.WebhookRetries3h, true},
		{"webhook-plan", topic.Events, false},
		{"projector.event_log", topic.Submissions, false},
		{"webhook-replay", topic.WebhookReplays, false},
	} {
		if err := retryable("p", ID{row.group, "p." + string(row.name), 0, 0}); (err == nil) != row.want {
			t.Errorf("%s of %s: got %v", row.name, row.group, err)
		}
	}
	if err := retryable("p", ID{"link", "q.submissions.v1", 0, 0}); err == nil || errors.Is(err, errRebuild) {
		t.Errorf("a topic of another installation: got %v", err)
	}
}

func TestALetterIsPrintedSoThatNoTerminalObeysIt(t *testing.T) {
	t.Parallel()
	l := &Letter{DeadLetter: event.DeadLetter{
		Group: "link", Topic: "t.submissions.v1", Partition: 2, Offset: 7, Reason: "bad\n\x1b[2J", At: event.TimeOf(time.Unix(0, 0)),
		Key: []byte("k"), Value: append([]byte("\x1b[2J"), make([]byte, shownBytes)...), Cut: true,
	}}
	var people, list, machine bytes.Buffer
	if err := errors.Join(Print(&people, l), PrintList(&list, []*Letter{l}), PrintJSON(&machine, l)); err != nil {
		t.Fatal(err)
	}
	if text := people.String() + list.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, `"\x1b[2J`) ||
		!strings.Contains(text, "516 (cut)") || !strings.Contains(text, "4 bytes more") {
		t.Errorf("got %s", text)
	}
	var got entry
	if err := json.Unmarshal(machine.Bytes(), &got); err != nil || got.ID != "link/t.submissions.v1/2/7" || !bytes.Equal(got.Value, l.Value) {
		t.Errorf("got %+v, %v", got, err)
	}
	id, err := ParseID(got.ID)
	if err != nil || id != l.ID() {
		t.Errorf("got %+v, %v", id, err)
	}
	for _, bad := range []string{"", "link", "link/t/1", "link/t/x/1", "link/t/1/-1", "/t/1/1", "link/t/1/1/1", "link/t/99999999999/1"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
