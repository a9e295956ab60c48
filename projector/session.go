package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// session is what a worker has in memory while it is a member of its group. One goroutine polls, decides and commits;
// builders and inserts run beside it and tell it when they have finished.
type session struct {
	*worker

	consumer *stream.Consumer
	lanes    map[stream.TopicPartition]*lane
	// work is the context of builders, inserts and commits. It outlives that of the session for a moment.
	work context.Context //nolint:containedctx // it is the session's own, and ends with it
	// finished is told by builders and inserts, of which running counts those that have not been heard of.
	finished chan func() error
	running  int
	// allowed tells the guard of work that a rebalance was let pass.
	allowed chan struct{}

	// last is when a batch was last announced because it was old enough.
	last time.Time
	// busy says that more records wait: the last poll brought about as much as one brings, or old ones.
	busy bool
	// fill is for how long a batch may be filled while busy.
	fill time.Duration
	// worked says that a partition was taken over, or something committed.
	worked bool
	// untold counts polls that told of a lost position before its partition was assigned.
	untold int
}

const (
	// longest bounds how long a batch is filled while records keep coming as fast as they are polled.
	longest = time.Second
	// behind is the age of polled records from which the table is far behind. Larger batches, of which the server has less
	// work, then make rows sooner than early ones do: a batch is filled for a quarter of that age, up to longestBehind.
	behind        = 2 * time.Second
	longestBehind = 5 * time.Second
	// lull is how long no record has to come for being busy to be over; lullBehind the same far behind, where the brokers
	// have to read what is asked for.
	lull       = 25 * time.Millisecond
	lullBehind = 150 * time.Millisecond
	// maxUntold bounds untold.
	maxUntold = 10
)

// session is one membership in the group. worked says that it got on, before the error that ended it.
func (w *worker) session(ctx context.Context) (worked bool, err error) {
	consumer, err := stream.NewConsumer(w.deps.Kafka, stream.ConsumerConfig{
		Group: table.Group(w.p.Table), Topics: w.p.Topics, MaxPollRecords: pollRecords, MaxFetchBytes: maxFetchBytes,
		RebalanceTimeout: RebalanceTimeout, SessionTimeout: w.cfg.SessionTimeout,
	}, stream.Deps{Log: w.deps.Log, Reg: w.deps.Reg, Traces: w.deps.Traces})
	if err != nil {
		return false, fmt.Errorf("open consumer %s: %w", table.Group(w.p.Table), err)
	}
	defer consumer.Close() //nolint:contextcheck // it leaves the group, which has to happen after the context's end, too
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{
		worker: w, consumer: consumer, lanes: map[stream.TopicPartition]*lane{},
		work: work, finished: make(chan func() error, 64), allowed: make(chan struct{}, 1),
	}
	var guard sync.WaitGroup
	guard.Go(func() { s.guard(ctx, cancel) })
	// Nothing goes on behind the next session's back: whatever runs is waited for before the group is left.
	defer guard.Wait()
	defer s.abandon()
	defer cancel()
	for err == nil {
		err = s.turn(ctx)
	}
	return s.worked, err
}

// works notes that the brokers and the table do what they are asked.
func (s *session) works() {
	s.worked = true
	s.setTrouble(nil)
}

// guard ends work some time after the session is asked to stop, so that what is being inserted is finished rather than
// left to the next start; and before a rebalance that waits for us gives up on us.
func (s *session) guard(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	for s.work.Err() == nil {
		select {
		case <-s.work.Done():
		case <-ctx.Done():
			s.consumer.Wake()
			_ = pause(s.work, stopGrace) //nolint:contextcheck // ctx has ended; it is the work that is given time
			return
		case <-s.consumer.RebalanceWanted():
			s.consumer.Wake()
			late := time.NewTimer(RebalanceTimeout / 2)
			select {
			case <-s.allowed:
			case <-s.work.Done():
			case <-late.C:
				return
			}
			late.Stop()
		}
	}
}

// turn is one round: take note of what is finished, begin what can begin, commit, and wait for more.
func (s *session) turn(ctx context.Context) error {
	if err := s.collect(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, s.stop())
	}
	// Where a rebalance waits, or memory is full, nothing is polled until something has been committed.
	leave := s.rebalanceWanted()
	hold := leave || s.held() >= s.cfg.MemoryBytes
	s.build()
	if hold && !leave {
		s.relieve()
	}
	until := s.ripen(leave)
	if err := s.commit(true); err != nil {
		return err
	}
	s.metrics.held.WithLabelValues(s.p.Table).Set(float64(s.held()))
	if s.idle() {
		s.consumer.AllowRebalance()
		select {
		case s.allowed <- struct{}{}:
		default:
		}
	} else if hold {
		return s.await()
	}
	return s.poll(ctx, until)
}

// stop brings to its end what is announced, and gives up the rest: it is polled again by whoever comes next.
func (s *session) stop() error {
	for s.sending() {
		if err := s.await(); err != nil {
			return err
		}
		if err := s.collect(); err != nil {
			return err
		}
		if err := s.commit(false); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers everything that is in memory.
func (s *session) drain() error {
	for !s.idle() {
		if err := s.collect(); err != nil {
			return err
		}
		s.build()
		s.ripen(true)
		if err := s.commit(true); err != nil {
			return err
		}
		if !s.idle() {
			if err := s.await(); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin runs something beside the session, in a slot of the process. Its result is applied by the session's goroutine.
func (s *session) begin(slots chan struct{}, do func() (apply func(), err error)) {
	s.running++
	go func() {
		slots <- struct{}{}
		apply, err := do()
		<-slots
		s.finished <- func() error {
			if err == nil {
				apply()
			}
			return err
		}
		s.consumer.Wake()
	}()
}

// collect applies what is finished.
func (s *session) collect() error {
	for {
		select {
		case result := <-s.finished:
			s.running--
			if err := result(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// await waits until something is finished, and applies it. Where nothing runs there is nothing to wait for: what has been
// committed lets the next round begin something.
func (s *session) await() error {
	if s.running == 0 {
		return s.work.Err()
	}
	select {
	case result := <-s.finished:
		s.running--
		return result()
	case <-s.work.Done():
		return s.work.Err()
	}
}

// abandon waits for what runs, after its context has ended.
func (s *session) abandon() {
	for ; s.running > 0; s.running-- {
		<-s.finished
	}
}

func (s *session) rebalanceWanted() bool {
	select {
	case <-s.consumer.RebalanceWanted():
		return true
	default:
		return false
	}
}

// idle says that everything that was polled is committed, so that partitions may be taken away.
func (s *session) idle() bool {
	for _, l := range s.lanes {
		if !l.empty() {
			return false
		}
	}
	return true
}

// sending says whether an announced batch is not committed yet.
func (s *session) sending() bool {
	for _, l := range s.lanes {
		if len(l.sent) > 0 {
			return true
		}
	}
	return false
}

// occupied says whether a batch is on its way, and whether one is being filled.
func (s *session) occupied() (delivering, building bool) {
	for _, l := range s.lanes {
		delivering = delivering || l.delivering()
		building = building || l.building > 0
	}
	return delivering, building
}

func (s *session) held() int {
	n := 0
	for _, l := range s.lanes {
		n += l.held()
	}
	return n
}

// build begins to transform what is queued, of every partition at a time.
func (s *session) build() {
	for _, l := range s.lanes {
		// Two batches that wait are enough; what comes meanwhile is kept as it is, which takes less memory.
		if len(l.queue) == 0 || l.building > 0 || len(l.closed) >= ahead {
			continue
		}
		queue := l.queue
		l.building, l.queue, l.queued = l.queued, nil, 0
		if l.open != nil {
			l.building += l.open.bytes()
		}
		u := &builder{
			worker: s.worker, tp: l.tp, topicID: l.topicID, rows: s.cfg.BatchRows, bytes: s.cfg.BatchBytes, months: true, open: l.open,
		}
		s.begin(s.slots.building, func() (func(), error) {
			err := u.include(s.work, queue)
			return func() { l.building, l.open, l.closed = 0, u.open, append(l.closed, u.closed...) }, err
		})
	}
}

// relieve closes the larger ones of the open batches where memory is full and nothing is on its way that would free some.
// The smaller ones grow further: many small batches would cost the server more than few large ones.
func (s *session) relieve() {
	open, bytes := 0, 0
	for _, l := range s.lanes {
		if l.building > 0 || len(l.closed)+len(l.sent) > 0 {
			return
		}
		if l.open != nil {
			open++
			bytes += l.open.bytes()
		}
	}
	for _, l := range s.lanes {
		if l.open != nil && l.open.bytes()*open >= bytes {
			l.close(s.p)
		}
	}
}

// ripen closes open batches that are old enough, or all where nothing is to be waited for. While one batch of a partition
// is on its way the next is filled. Small batches of other partitions are filled meanwhile, too, and wait for what a builder
// has in hand, so that all go in together. It returns when the next one will be old enough; zero where there is none.
func (s *session) ripen(now bool) (until time.Time) {
	at := time.Now()
	announced := false
	delivering, building := s.occupied()
	for _, l := range s.lanes {
		if l.open == nil || l.building > 0 || l.delivering() {
			continue
		}
		due := s.last.Add(s.cfg.BatchAge)
		if grown := l.open.began.Add(s.fill); s.busy && grown.After(due) {
			due = grown
		}
		if grown := l.open.began.Add(longest); delivering && grown.After(due) {
			due = grown
		}
		if grown := l.open.began.Add(s.cfg.BatchAge); building && grown.After(due) {
			due = grown
		}
		if now && len(l.queue) == 0 || !due.After(at) {
			l.close(s.p)
			announced = true
		} else if until.IsZero() || due.Before(until) {
			until = due
		}
	}
	if announced {
		s.last = at
	}
	return until
}
