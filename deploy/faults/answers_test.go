package faults

import (
	"log/slog"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// answerWithin is how long the last submissions and commands may take to be answered. An edge that was paused may write some
// that nobody waits for any more, right before they are counted.
const answerWithin = 2 * time.Minute

// checkAnswers expects that every submission and every command was answered by exactly one record in a topic that is written
// for them, as Kafka has it: what clients repeated is there more than once, and each time has an answer of its own.
func (w *world) checkAnswers(t *testing.T, d *differences) {
	t.Helper()
	deadline := time.Now().Add(answerWithin)
	for input, outputs := range map[topic.Name][]topic.Name{
		topic.Submissions:          {topic.Events, topic.Rejections, topic.Submissions},
		topic.ConversationCommands: {topic.CommandReplies},
	} {
		places, answers := w.answers(t, input, outputs)
		for !answered(places, answers) && time.Now().Before(deadline) {
			<-time.After(time.Second)
			places, answers = w.answers(t, input, outputs)
		}
		for place := range places {
			if n := answers[place]; n != 1 {
				d.add("answers", "%s has %d", place, n)
			}
			delete(answers, place)
		}
		for place, n := range answers {
			d.add("answers", "%s has %d and is not there", place, n)
		}
	}
	w.read(t, topic.DeadLetters, func(r *stream.Record) { d.add("dead letter", "%s", r.Value) })
}

// answers gives the places of an input's records, and how many records of its outputs name each place as their origin.
func (w *world) answers(t *testing.T, input topic.Name, outputs []topic.Name) (places map[string]bool, answers map[string]int) {
	t.Helper()
	places, answers = map[string]bool{}, map[string]int{}
	for _, name := range outputs {
		w.read(t, name, func(r *stream.Record) {
			if origin, ok := stream.HeaderValue(r, topic.HeaderOrigin); ok {
				answers[origin]++
			}
		})
	}
	// Read last, the inputs have the place of every answer.
	w.read(t, input, func(r *stream.Record) { places[topic.Origin(r.Topic, r.Partition, r.Offset)] = true })
	return places, answers
}

// answered says whether every place has an answer.
func answered(places map[string]bool, answers map[string]int) bool {
	for place := range places {
		if answers[place] == 0 {
			return false
		}
	}
	return true
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
