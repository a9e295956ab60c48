package link_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/ingest/logtest"
	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// dies runs a linker until it kills itself.
func (w *world) dies(c child) {
	w.T.Helper()
	c.Kafka, c.Link, c.Dir = w.Kafka, w.cfg, w.dir
	err := w.Spawn(childEnv, c).Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.T.Fatalf("the linker ended with %v, it should have killed itself when it said %q", err, c.KillAt)
	}
}

// read is how many events a linker reads to load its windows, which is then stopped. It answers one submission more.
func (w *world) read() int {
	w.T.Helper()
	reg := prometheus.NewRegistry()
	l := w.linker()
	l.Reg = reg
	stop := w.Start(l.run)
	w.submit(about(customer(1), fmt.Sprintf("read-%d", len(w.events()))))
	w.Settle()
	deadline := time.Now().Add(2 * time.Minute)
	for gathered(w.T, reg, "throughline_stream_loaded_partitions") < logtest.Partitions {
		if time.Now().After(deadline) {
			w.T.Fatal("the partitions are not loaded within two minutes")
		}
		<-time.After(10 * time.Millisecond)
	}
	stop()
	return gathered(w.T, reg, "throughline_link_window_read_events_total")
}

// gathered is the sum of a metric over its labels.
func gathered(t *testing.T, reg prometheus.Gatherer, name string) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum, found = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
			}
		}
	}
	if !found {
		t.Fatalf("the linker has no metric %s", name)
	}
	return int(sum)
}

// answers counts the answers that each submission of the test has, by its place.
func (w *world) answers() map[string]int {
	w.T.Helper()
	got := map[string]int{}
	for _, name := range []topic.Name{topic.Events, topic.Rejections, topic.DeadLetters} {
		for _, r := range w.Read(name) {
			origin, ok := stream.HeaderValue(r, topic.HeaderOrigin)
			if !ok {
				w.T.Errorf("%s/%d at %d names no origin", r.Topic, r.Partition, r.Offset)
			}
			got[origin]++
		}
	}
	return got
}

func TestAStartReadsOnlyWhatItsStoreLacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true)
	want := load(t, w, 300)
	stop := w.start()
	w.Settle()
	stop()
	if got := w.read(); got != 0 {
		t.Errorf("after a stop %d events were read, want none", got)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	// It is killed when it has loaded its windows, and before it has committed a transaction of its own.
	w.dies(child{KillAt: "window loaded", KillCount: 3})
	if got := w.read(); got != 0 {
		t.Errorf("after a load with no transaction since %d events were read, want none", got)
	}
	load(t, w, 300)
	w.start()
	w.Settle()
	got := counted(w)
	for i := range 3 {
		delete(got, fmt.Sprintf("c1/read-%d", 300+i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events after everything was sent again (-want +got):\n%s", diff)
	}
}

// TestALinkerThatIsKilledWhileItLoadsGoesOnWhereItWas kills it again and again before it has come to the end.
func TestALinkerThatIsKilledWhileItLoadsGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, schematest.Kfake(t), true)
	const events, batch = 600, 20
	want := load(t, w, events)
	stop := w.start()
	w.Settle()
	stop()
	if err := os.RemoveAll(filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.dies(child{LoadBatch: batch, KillAt: "window is being loaded", KillCount: 3})
	}
	// Six batches were written for certain: a partition may have begun a batch that it did not end.
	if got, most := w.read(), events-2*3*batch; got == 0 || got > most {
		t.Errorf("after loads that came to %d events at least %d more were read, want 1 to %d", 2*3*batch, got, most)
	}
	load(t, w, events)
	w.start()
	w.Settle()
	got := counted(w)
	delete(got, fmt.Sprintf("c1/read-%d", events))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events after everything was sent again (-want +got):\n%s", diff)
	}
}

// TestWhatATornTransactionAnsweredIsNotAnsweredAgainAfterKills writes what is left of a transaction of which some answers
// are there and not the position: those of every second submission. Linkers that are killed in between, while they load and
// after their first small transaction, answer the others, and each once.
func TestWhatATornTransactionAnsweredIsNotAnsweredAgainAfterKills(t *testing.T) {
	t.Parallel()
	for name, kills := range map[string][]child{
		"killed while it loads":           {{LoadBatch: 70, KillAt: "window is being loaded", KillCount: 2}},
		"killed in its next transactions": {{KillAt: "submissions linked", KillCount: 120}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, schematest.Kfake(t), true)
			// The store gives what transactions write to the system by the 32 KiB: those of 800 submissions are more.
			w.cfg.MaxBatch = 5
			const submissions = 800
			subs := make([]event.Submission, submissions)
			for i := range subs {
				subs[i] = about(customer(1), fmt.Sprintf("e%d", i))
			}
			w.submit(subs...)
			want := map[string]int{}
			for i, r := range w.Read(topic.Submissions) {
				origin := topic.Origin(r.Topic, r.Partition, r.Offset)
				want[origin] = 1
				if i%2 == 0 {
					continue
				}
				w.leave(&subs[i], r)
			}
			for _, c := range kills {
				w.dies(c)
			}
			w.start()
			w.Settle()
			if diff := cmp.Diff(want, w.answers()); diff != "" {
				t.Errorf("answers of each submission (-want +got):\n%s", diff)
			}
			ids := map[string]int{}
			for _, e := range w.events() {
				ids[e.ID]++
			}
			if len(w.events()) != submissions || len(ids) != submissions {
				t.Errorf("got %d events of %d identities, want %d", len(w.events()), len(ids), submissions)
			}
		})
	}
}

// leave appends the event that a transaction has left of a submission.
func (w *world) leave(s *event.Submission, r *stream.Record) {
	w.T.Helper()
	e := event.Event{
		ID: s.ID, Workspace: s.Workspace, Type: s.Type, ObjectID: s.ObjectID, Name: s.Name, OccurredAt: s.Occurred(), ReceivedAt: s.ReceivedAt,
		Links: []event.Link{{Type: s.Type, ID: s.ObjectID, Kind: event.LinkPrimary}},
	}
	value, err := e.Encode()
	if err != nil {
		w.T.Fatal(err)
	}
	out := &stream.Record{Topic: w.Kafka.Topic(topic.Events), Key: r.Key, Value: value}
	stream.SetOrigin(out, r)
	if _, err := w.Producer.Produce(w.T.Context(), out); err != nil {
		w.T.Fatal(err)
	}
}
