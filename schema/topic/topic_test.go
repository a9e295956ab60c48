package topic_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/topic"
)

func TestTopicsThatShareAPartitionNumberGetTheSame(t *testing.T) {
	t.Parallel()
	partitions := map[topic.Name]int{}
	for _, s := range topic.Layout(7) {
		if _, twice := partitions[s.Name]; twice {
			t.Errorf("topic %s is listed twice", s.Name)
		}
		partitions[s.Name] = s.Partitions
	}
	for _, name := range []topic.Name{
		topic.Submissions, topic.Events, topic.Rejections,
		topic.ConversationCommands, topic.Conversations, topic.ConversationState, topic.CommandReplies,
		topic.WebhookQueues, topic.WebhookQueueSizes,
	} {
		if partitions[name] != 7 {
			t.Errorf("%s has %d partitions, want 7", name, partitions[name])
		}
	}
	if partitions[topic.Workspaces] != 1 {
		t.Errorf("workspaces has %d partitions, want 1", partitions[topic.Workspaces])
	}
}

func TestEverythingThatIsASourceOfTruthIsKeptForEver(t *testing.T) {
	t.Parallel()
	for _, s := range topic.All() {
		switch {
		case (s.Name == topic.Events || s.Name == topic.Conversations) && (s.Retention != 0 || s.Compacted):
			t.Errorf("%s would be dropped: %+v", s.Name, s)
		case s.Compacted && s.DeleteRetention != topic.TombstoneRetention:
			t.Errorf("%s keeps tombstones for %s, want %s", s.Name, s.DeleteRetention, topic.TombstoneRetention)
		case s.Purpose == "":
			t.Errorf("%s does not say what it is for", s.Name)
		}
	}
}

func TestEnvelopeIsACloudEvent(t *testing.T) {
	t.Parallel()
	e := topic.Envelope{
		ID: "e1", Type: topic.TypeEvent, Workspace: "acme",
		Time: time.Date(2026, 3, 1, 13, 0, 0, 5e6, time.FixedZone("CET", 3600)),
	}
	got := e.Headers(topic.Header{Key: topic.HeaderOrigin, Value: topic.Origin("t.submissions.v1", 2, 41)})
	want := []topic.Header{
		{Key: "ce_specversion", Value: "1.0"},
		{Key: "ce_id", Value: "e1"},
		{Key: "ce_type", Value: "throughline.event"},
		{Key: "ce_source", Value: "/workspaces/acme"},
		{Key: "ce_time", Value: "2026-03-01T12:00:00.005Z"},
		{Key: "content-type", Value: "application/json"},
		{Key: "origin", Value: "t.submissions.v1/2/41"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}
