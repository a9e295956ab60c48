package query

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/web"
)

// pipeline is a broker on which the test itself plays link and the projectors: it writes records and commits offsets.
type pipeline struct {
	*fixture

	kafka  stream.Config
	client *kgo.Client
	admin  *kadm.Client
}

func newPipeline(t *testing.T, patience time.Duration) *pipeline {
	t.Helper()
	p := &pipeline{kafka: stream.Config{Brokers: schematest.Kfake(t), ClientID: "query-test", Prefix: "t", Embedded: true}}
	deps := stream.Deps{Log: slog.New(slog.DiscardHandler)}
	if _, err := stream.EnsureTopics(t.Context(), p.kafka, deps, topic.Layout(topic.EmbeddedPartitions), 1); err != nil {
		t.Fatal(err)
	}
	p.fixture = newFixture(t, func(c *Config) { c.Kafka, c.PositionTimeout = p.kafka, patience })
	watch, err := stream.NewOffsetWatch(p.kafka, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Close)
	p.service.open.Load().watch = watch
	if p.client, err = stream.Open(p.kafka, deps.Log, nil, kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Close)
	p.admin = kadm.NewClient(p.client)
	return p
}

// produce appends a record and returns its entry.
func (p *pipeline) produce(t *testing.T, name topic.Name, partition int32) position.Entry {
	t.Helper()
	r, err := p.client.ProduceSync(t.Context(), &kgo.Record{
		Topic: p.kafka.Topic(name), Partition: partition, Value: []byte("x"),
	}).First()
	if err != nil {
		t.Fatal(err)
	}
	return position.Entry{Topic: name, Partition: partition, Offset: r.Offset}
}

// commit moves a group past a record.
func (p *pipeline) commit(t *testing.T, group string, e position.Entry) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: p.kafka.Topic(e.Topic), Partition: e.Partition, At: e.Offset + 1, LeaderEpoch: -1})
	if err := p.admin.CommitAllOffsets(t.Context(), p.kafka.Group(group), offsets); err != nil {
		t.Fatal(err)
	}
}

// ask reads with positions while the test goes on.
func (p *pipeline) ask(ctx context.Context, path string, entries ...position.Entry) <-chan answer {
	texts := make([]string, len(entries))
	for i, e := range entries {
		var one position.Position
		one.Add(e)
		texts[i] = *one.Encode("ws")
	}
	got := make(chan answer, 1)
	go func() { got <- p.get(ctx, "ws", path, url.Values{"position": texts}) }()
	return got
}

// waits fails if the read answers although it must not yet.
func waits(t *testing.T, got <-chan answer, what string) {
	t.Helper()
	select {
	case a := <-got:
		t.Fatalf("answered before %s: %d %s", what, a.status, a.body)
	case <-time.After(150 * time.Millisecond): // seven polls of the watch
	}
}

func answers(t *testing.T, got <-chan answer, status int) answer {
	t.Helper()
	select {
	case a := <-got:
		if a.status != status {
			t.Fatalf("got %d %s, want %d", a.status, a.body, status)
		}
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
		return answer{}
	}
}

const patient = 20 * time.Second

func TestReadWaitsForLinkAndThenForItsProjector(t *testing.T) {
	t.Parallel()
	for path, name := range map[string]string{
		c1: table.Timeline, eventLogPath: table.EventLog, eventLogPath + "/e1": table.EventLog, "/v1/event-names": table.EventLog,
	} {
		t.Run(strings.ReplaceAll(path, "/", " "), func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, patient)
			insert(t, p.fixture, table.EventLog, logged("e1", "LINKED", noon()))
			group := table.Group(name)
			// Another partition is far behind, and is nobody's concern.
			p.produce(t, topic.Submissions, 0)
			p.produce(t, topic.Events, 0)
			submission := p.produce(t, topic.Submissions, 1)
			earlier := p.produce(t, topic.Events, 1)
			p.commit(t, group, earlier)

			got := p.ask(t.Context(), path, submission)
			waits(t, got, "link has read the submission")
			event := p.produce(t, topic.Events, 1)
			p.commit(t, linkGroup, submission)
			waits(t, got, "the projector has read the event")
			p.commit(t, group, event)
			answers(t, got, http.StatusOK)
		})
	}
}

func TestEventLogWaitsForRejectionsAndDeadLettersToo(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, patient)
	group := table.Group(table.EventLog)
	submission := p.produce(t, topic.Submissions, 2)
	rejection := p.produce(t, topic.Rejections, 2)
	dead := p.produce(t, topic.DeadLetters, 0)
	p.commit(t, linkGroup, submission)
	got := p.ask(t.Context(), eventLogPath, submission)
	waits(t, got, "the projector has read the rejection")
	p.commit(t, group, rejection)
	waits(t, got, "the projector has read the dead letter")
	p.commit(t, group, dead)
	answers(t, got, http.StatusOK)
	// A timeline shows neither.
	answers(t, p.ask(t.Context(), c1, submission), http.StatusOK)
}

func TestReadOfAPendingSubmissionFollowsItToAnotherPartition(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, patient)
	group := table.Group(table.Timeline)
	submission := p.produce(t, topic.Submissions, 0)
	submission.Pending = true
	forwarded := p.produce(t, topic.Submissions, 2)
	p.commit(t, linkGroup, submission)
	got := p.ask(t.Context(), c1, submission)
	waits(t, got, "link has read the forwarded submission")
	event := p.produce(t, topic.Events, 2)
	p.commit(t, linkGroup, forwarded)
	waits(t, got, "the projector has read the event")
	p.commit(t, group, event)
	answers(t, got, http.StatusOK)
}

func TestTimelineWaitsForObjectsOfItsPositions(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, patient)
	object := p.produce(t, topic.Objects, 1)
	got := p.ask(t.Context(), c1, object)
	waits(t, got, "the projector has read the object")
	// The event log shows no object, so it does not wait.
	answers(t, p.ask(t.Context(), eventLogPath, object), http.StatusOK)
	p.commit(t, table.Group(table.Objects), object)
	answers(t, got, http.StatusOK)
}

func TestSeveralPositionsAreAllWaitedFor(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, patient)
	first, second := p.produce(t, topic.Submissions, 0), p.produce(t, topic.Submissions, 1)
	got := p.ask(t.Context(), c1, first, second)
	p.commit(t, linkGroup, first)
	waits(t, got, "link has read the second submission")
	p.commit(t, linkGroup, second)
	answers(t, got, http.StatusOK)
}

func TestPositionThatIsNotReachedInTimeIsA503(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, 200*time.Millisecond)
	submission := p.produce(t, topic.Submissions, 0)
	a := answers(t, p.ask(t.Context(), c1, submission), http.StatusServiceUnavailable)
	if a.header.Get("Retry-After") != "1" || !strings.Contains(a.body, "urn:throughline:problem:position-not-reached") {
		t.Errorf("got %v %s", a.header, a.body)
	}
}

func TestPositionOfAnotherWorkspaceOrTooManyAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var at position.Position
	at.Add(position.Entry{Topic: topic.Submissions, Partition: 0, Offset: 1})
	mine, other := *at.Encode("ws"), *at.Encode("w2")
	var many []string
	for i := range web.MaxPositions + 1 {
		var p position.Position
		p.Add(position.Entry{Topic: topic.Submissions, Partition: 0, Offset: int64(i)})
		many = append(many, *p.Encode("ws"))
	}
	for name, texts := range map[string][]string{
		"another workspace's": {other}, "one of two": {mine, other}, "cut": {mine[:8]}, "too many": many,
	} {
		for _, path := range []string{c1, eventLogPath, eventLogPath + "/e1", "/v1/event-names"} {
			a := f.get(t.Context(), "ws", path, url.Values{"position": texts})
			if a.status != http.StatusBadRequest || !strings.Contains(a.body, "urn:throughline:problem:bad-position") {
				t.Errorf("%s, %s: got %d %s", name, path, a.status, a.body)
			}
		}
	}
}
