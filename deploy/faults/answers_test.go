package faults

import (
	"log/slog"
	"testing"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// checkAnswers expects that every submission and every command was answered by exactly one record in a topic that is written
// for them, as Kafka has it: what clients repeated is there more than once, and each time has an answer of its own.
func (w *world) checkAnswers(t *testing.T, d *differences) {
	t.Helper()
	for input, outputs := range map[topic.Name][]topic.Name{
		topic.Submissions:          {topic.Events, topic.Rejections, topic.Submissions},
		topic.ConversationCommands: {topic.CommandReplies},
	} {
		answers := map[string]int{}
		for _, name := range outputs {
			w.read(t, name, func(r *stream.Record) {
				if origin, ok := stream.HeaderValue(r, topic.HeaderOrigin); ok {
					answers[origin]++
				}
			})
		}
		w.read(t, input, func(r *stream.Record) {
			place := topic.Origin(r.Topic, r.Partition, r.Offset)
			if n := answers[place]; n != 1 {
				d.add("answers", "%s has %d", place, n)
			}
			delete(answers, place)
		})
		for place, n := range answers {
			d.add("answers", "%s has %d and is not there", place, n)
		}
	}
	w.read(t, topic.DeadLetters, func(r *stream.Record) { d.add("dead letter", "%s", r.Value) })
}

// read gives each the committed records of a topic.
func (w *world) read(t *testing.T, name topic.Name, each func(*stream.Record)) {
	t.Helper()
	err := stream.ReadTopic(t.Context(), w.kafka, stream.Deps{Log: slog.New(slog.DiscardHandler)}, name, func(r *stream.Record) error {
		each(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
