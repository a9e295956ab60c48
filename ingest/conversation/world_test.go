package conversation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/conversation"
	"github.com/throughline/throughline/ingest/logtest"
	"github.com/throughline/throughline/ingest/registry"
	conv "github.com/throughline/throughline/schema/conversation"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// world is a log, and the processors that a test starts.
type world struct {
	*logtest.Log

	// dir holds the local stores of the processor.
	dir string
	cfg conversation.Config
	// commands counts those that were sent.
	commands int
}

// onEachBroker runs a test against kfake and against Apache Kafka.
func onEachBroker(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, schematest.Kfake(t), true))
	})
	t.Run("apache", func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, schematest.ApacheKafka(t), false))
	})
}

func newWorld(t *testing.T, brokers []string, embedded bool) *world {
	t.Helper()
	return &world{
		Log: logtest.New(t, brokers, embedded, conversation.Group, topic.ConversationCommands),
		dir: t.TempDir(), cfg: conversation.DefaultConfig(),
	}
}

// start runs a registry and a processor until stop is called or the test ends.
func (w *world) start() (stop func()) {
	w.T.Helper()
	return w.Start(func(ctx context.Context) error {
		return runProcessor(ctx, w.Kafka, w.Master, w.cfg, w.dir, logtest.Logger(w.T.Name()))
	})
}

// runProcessor is what the program does: a registry and a producer beside the processor, which end after it.
func runProcessor(ctx context.Context, kafka stream.Config, master *seal.Master, cfg conversation.Config, dir string, log *slog.Logger) error {
	reg := prometheus.NewRegistry()
	objects, err := registry.Open(ctx, registry.Config{Dir: filepath.Join(dir, "registry")}, registry.Deps{
		Kafka: kafka, Master: master, Log: log, Reg: reg,
	})
	if err != nil {
		return err
	}
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: log, Reg: reg})
	if err != nil {
		return err
	}
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- objects.Run(background) }()
	cfg.Dir = filepath.Join(dir, "conversations")
	service, err := conversation.New(cfg, conversation.Deps{
		Kafka: kafka, Objects: objects, Producer: producer, Master: master, Log: log, Reg: reg,
	})
	if err == nil {
		err = service.Run(ctx)
	}
	end()
	return errors.Join(err, <-ended, producer.Close(context.WithoutCancel(ctx)), objects.Close())
}

// command is one as the edge writes it.
func (w *world) command(id string, typ conv.Type, change ...func(*conv.Command)) *conv.Command {
	w.commands++
	name := fmt.Sprintf("cmd-%d", w.commands)
	c := &conv.Command{
		Workspace: "acme", ConversationID: id, Request: name, ID: name, Type: typ, ReceivedAt: event.TimeOf(time.Now()),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// send appends commands as the edge does.
func (w *world) send(commands ...*conv.Command) {
	w.T.Helper()
	records := make([]*stream.Record, len(commands))
	for i, c := range commands {
		value, err := c.Encode()
		if err != nil {
			w.T.Fatal(err)
		}
		records[i] = &stream.Record{
			Topic: w.Kafka.Topic(topic.ConversationCommands), Key: conv.Key(c.Workspace, c.ConversationID), Value: value,
		}
	}
	if _, err := w.Producer.Produce(w.T.Context(), records...); err != nil {
		w.T.Fatal(err)
	}
}

// transitions are those of every conversation, by its id, in the order of the log.
func (w *world) transitions() map[string][]*conv.Transition {
	w.T.Helper()
	all := map[string][]*conv.Transition{}
	for _, r := range w.Read(topic.Conversations) {
		t, err := conv.ParseTransition(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		if home := stream.PartitionOf(r.Key, logtest.Partitions); home != r.Partition {
			w.T.Errorf("transition %s is in partition %d, its conversation's is %d", t.ID(), r.Partition, home)
		}
		all[t.ConversationID] = append(all[t.ConversationID], t)
	}
	return all
}

// replies are the answers to each request.
func (w *world) replies() map[string][]*conv.Reply {
	w.T.Helper()
	all := map[string][]*conv.Reply{}
	for _, r := range w.Read(topic.CommandReplies) {
		reply, err := conv.ParseReply(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		all[reply.Request] = append(all[reply.Request], reply)
	}
	return all
}

// snapshots are the last ones of each conversation.
func (w *world) snapshots() map[string]*conv.Snapshot {
	w.T.Helper()
	all := map[string]*conv.Snapshot{}
	for _, r := range w.Read(topic.ConversationState) {
		s, err := conv.ParseSnapshot(r.Value)
		if err != nil {
			w.T.Fatal(err)
		}
		all[s.ID] = s
	}
	return all
}

// open gives the personal part of a transition.
func (w *world) open(t *conv.Transition) conv.Personal {
	w.T.Helper()
	var p conv.Personal
	keys := w.Read(topic.SubjectKeys)
	at := slices.IndexFunc(keys, func(r *stream.Record) bool {
		rec, err := seal.ParseKeyRecord(r.Value)
		return err == nil && rec.ID == t.KeyID
	})
	if at < 0 {
		w.T.Fatalf("%s: no data key %s", t.ID(), t.KeyID)
	}
	rec, err := seal.ParseKeyRecord(keys[at].Value)
	if err != nil {
		w.T.Fatal(err)
	}
	key, err := w.Master.Unwrap(rec)
	if err != nil {
		w.T.Fatal(err)
	}
	plain, err := key.Open(t.Sealed, t.AdditionalData())
	if err != nil {
		w.T.Fatal(err)
	}
	if err := json.Unmarshal(plain, &p); err != nil {
		w.T.Fatal(err)
	}
	return p
}
