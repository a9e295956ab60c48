package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// durationVar and seedVar make another plan than the one of every day.
	durationVar = "FAULTS_DURATION"
	seedVar     = "FAULTS_SEED"
	// lanesVar names lanes of a plan, separated by commas; the others are left out. It narrows a failure down.
	lanesVar = "FAULTS_LANES"

	usualDuration = time.Minute
	// endWithin is how long clients may take to bring to its end what they have begun, once nothing goes wrong any more.
	endWithin = 5 * time.Minute
	// pastSession is a pause after which every group has put the member out: sessions last 10 s.
	pastSession = 13 * time.Second
)

// lanes are what goes wrong by name. Brokers are in one lane, because two that are away at once may not be: with one of
// three away, everything that was acknowledged is on two.
func lanes() (names []string, all []Lane) {
	processes := []Kind{Kill, Kill, Pause, Leave}
	lines := []Kind{Cut, Stall, Slow, Slow}
	for _, row := range []struct {
		name string
		lane Lane
	}{
		{"ingest-a", Lane{Targets: []string{"ingest-a"}, Kinds: processes, Gap: 14 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
		{"ingest-b", Lane{Targets: []string{"ingest-b"}, Kinds: processes, Gap: 16 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
		{"projector-a", Lane{Targets: []string{"projector-a"}, Kinds: processes, Gap: 14 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
		{"projector-b", Lane{Targets: []string{"projector-b"}, Kinds: processes, Gap: 16 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
		{"kafka", Lane{Targets: []string{"kafka-0", "kafka-1", "kafka-2"}, Kinds: []Kind{Kill, Pause}, Gap: 20 * time.Second, Longest: 6 * time.Second, Past: 9 * time.Second}},
		{"clickhouse", Lane{Targets: []string{"clickhouse"}, Kinds: []Kind{Kill, Kill, Pause}, Gap: 25 * time.Second, Longest: 8 * time.Second}},
		{"kafka-line", Lane{Targets: []string{"kafka-0-line", "kafka-1-line", "kafka-2-line"}, Kinds: lines, Gap: 8 * time.Second, Longest: 5 * time.Second}},
		// An insert takes milliseconds: it is held up often and for long, so that kills of the projector fall into one.
		{"clickhouse-line", Lane{Targets: []string{"clickhouse-line"}, Kinds: []Kind{Cut, Stall, Stall, Slow}, Gap: 6 * time.Second, Longest: 9 * time.Second}},
		{"dispatcher-a", Lane{Targets: []string{"dispatcher-a"}, Kinds: processes, Gap: 14 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
		{"dispatcher-b", Lane{Targets: []string{"dispatcher-b"}, Kinds: processes, Gap: 16 * time.Second, Longest: 4 * time.Second, Past: pastSession}},
	} {
		names, all = append(names, row.name), append(all, row.lane)
	}
	return names, all
}

// planned is the plan that the environment asks for.
func planned(t *testing.T, usualSeed uint64) (plan Plan, seed uint64, length time.Duration) {
	t.Helper()
	seed, length = usualSeed, usualDuration
	var errs []error
	if text := os.Getenv(durationVar); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		errs = append(errs, err)
		if err == nil && length < 10*time.Second {
			errs = append(errs, fmt.Errorf("%s is %s, want 10s or more", durationVar, length))
		}
	}
	if text := os.Getenv(seedVar); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	names, all := lanes()
	only := os.Getenv(lanesVar)
	for i, name := range names {
		if only != "" && !strings.Contains(","+only+",", ","+name+",") {
			all[i].Targets = nil
		}
	}
	return NewPlan(seed, length, all), seed, length
}

// TestLinkersThatComeAndGoAnswerEverySubmissionOnce has two linkers share the partitions with a third one that comes and goes,
// and each of them is killed, leaves, or is paused until the others have put it out.
func TestLinkersThatComeAndGoAnswerEverySubmissionOnce(t *testing.T) {
	needApacheKafka(t)
	length := 40 * time.Second
	var all []Lane
	for _, name := range []string{"ingest-a", "ingest-b", "ingest-c"} {
		all = append(all, Lane{
			Targets: []string{name}, Kinds: []Kind{Pause, Leave, Kill}, Gap: 6 * time.Second, Longest: 5 * time.Second, Past: pastSession,
		})
	}
	w := newWorld(t, members{ingest: 3, projector: 1})
	w.survive(t, NewPlan(3, length, all), 3, length, time.Millisecond)
}

func TestNothingIsLostOrDoubledWhateverFails(t *testing.T) {
	needApacheKafka(t)
	plan, seed, length := planned(t, 1)
	w := newWorld(t, members{ingest: 2, projector: 2, dispatcher: 2})
	w.survive(t, plan, seed, length, 20*time.Millisecond)
}

// survive has clients post while a plan is carried out, and checks afterwards what is there.
func (w *world) survive(t *testing.T, plan Plan, seed uint64, length, pause time.Duration) {
	t.Helper()
	fmt.Printf("seed %d, %s:\n%s", seed, length, plan)
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := startLoad(ctx, w, stop, pause)
	if err != nil {
		t.Fatal(err)
	}
	w.carryOut(plan, length)
	close(stop)
	ending := time.AfterFunc(endWithin, cancel)
	err = l.wait()
	ending.Stop()
	w.note("%d events acknowledged, %d requests repeated", l.total.Load(), l.repeats.Load())
	if err == nil {
		err = w.settle(t.Context(), l.ledger)
	}
	if err != nil {
		// What a service waits for stands in the dump.
		for _, s := range w.services {
			s.dump()
		}
		t.Errorf("seed %d: %v", seed, err)
	}
	if d := w.check(t, l.ledger); len(d.lines) > 0 {
		t.Errorf("seed %d: what was acknowledged is not what is there:\n%s", seed, d)
	}
	// The product's own judgement has to be the same.
	report, err := command(t, w.dir, w.direct, "reconcile", "--quiet")
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	w.note("reconcile:\n%s", report)
	if l.total.Load() == 0 || len(l.transitions) == 0 || len(l.objects) == 0 {
		t.Errorf("seed %d: nothing was acknowledged: this run proves nothing", seed)
	}
	if t.Failed() {
		t.Logf("%s=%s %s=%d repeats this plan:\n%s\n%s", durationVar, length, seedVar, seed, plan, strings.Join(w.notes, "\n"))
	}
}

// carryOut makes every fault of a plan at its time and takes it away again. It returns when the last one is over.
func (w *world) carryOut(plan Plan, length time.Duration) {
	begun := time.Now()
	// A target takes one fault after the other; one that takes longer to mend than planned delays the next.
	queues := map[string]chan Fault{}
	done := make(chan struct{})
	for _, f := range plan {
		name := f.Target
		if strings.HasPrefix(name, "kafka-") && !strings.HasSuffix(name, "-line") {
			name = "kafka" // at most one broker is away
		}
		if queues[name] == nil {
			queues[name] = make(chan Fault, len(plan))
			go func(queue <-chan Fault) {
				for f := range queue {
					w.carryOutOne(f, begun)
				}
				done <- struct{}{}
			}(queues[name])
		}
		queues[name] <- f
	}
	for _, queue := range queues {
		close(queue)
	}
	for range queues {
		<-done
	}
	<-time.After(time.Until(begun.Add(length)))
	w.note("nothing fails any more")
}

func (w *world) carryOutOne(f Fault, begun time.Time) {
	<-time.After(time.Until(begun.Add(f.At)))
	to := w.targets[f.Target]
	w.note("%s %s", f.Kind, f.Target)
	if err := to.begin(f.Kind); err != nil {
		w.t.Errorf("%s %s: %v", f.Kind, f.Target, err)
		return
	}
	<-time.After(f.For)
	if err := to.end(f.Kind); err != nil {
		w.t.Errorf("end of %s %s: %v", f.Kind, f.Target, err)
	}
	w.note("%s %s is over", f.Kind, f.Target)
}
