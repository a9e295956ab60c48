package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errInterrupted is the end of a run that was asked to stop.
var errInterrupted = errors.New("interrupted")

// pipeline is one input on its way: a reader, which spreads lines over workers, one batch of each under way.
type pipeline struct {
	limits  limits
	scanner *scanner
	tracker *tracker
	workers []*worker
	// save notes how far it is.
	save func() error
}

// run sends every line and returns nil once all are settled. When the context ends it stops reading, lets batches that
// are under way be answered, within the grace, and returns errInterrupted.
func (p *pipeline) run(ctx context.Context, lines *lineReader) error {
	// Reading ends with the context, or with the first failure.
	reading, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// Sending ends with the first failure, or some time after the context.
	sending, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	ended := func(err error) {
		fail(err)
		abort(err)
	}
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(p.limits.grace, func() { abort(errInterrupted) })
	})()

	queues := make([]chan *batch, len(p.workers))
	var wg sync.WaitGroup
	for n, w := range p.workers {
		queues[n] = make(chan *batch, 1)
		wg.Go(func() {
			for b := range queues[n] {
				if reading.Err() != nil {
					return
				}
				refused, err := w.deliver(sending, b.items)
				if err == nil {
					err = p.tracker.settle(b, refused)
				}
				if err != nil {
					ended(err)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	var saver sync.WaitGroup
	saver.Go(func() {
		if err := p.saveUntil(stop); err != nil {
			ended(err)
		}
	})

	s := &spreader{pipeline: p, queues: queues, filling: make([]*batch, len(queues))}
	if err := s.run(reading, lines); err != nil {
		fail(err)
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	close(stop)
	saver.Wait()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return context.Cause(reading)
}

// saveUntil notes how far it is, from time to time.
func (p *pipeline) saveUntil(stop <-chan struct{}) error {
	tick := time.NewTicker(p.limits.save)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			if err := p.save(); err != nil {
				return err
			}
		}
	}
}

// spreader fills batches.
type spreader struct {
	*pipeline

	queues []chan *batch
	// filling are the batches that are not full yet, one of each worker at most.
	filling []*batch
	// since is when the first line came into them.
	since time.Time
}

// run takes lines until there are no more.
func (s *spreader) run(ctx context.Context, lines *lineReader) error {
	// What is read must not wait for the reader: a pipe may be silent for hours. A read that hangs when the context ends
	// is left behind; it ends with its input, or with the process.
	incoming := make(chan *line, 64)
	ended := make(chan error, 1)
	go func() {
		defer close(incoming)
		for {
			l, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				ended <- err
				return
			}
			select {
			case incoming <- l:
			case <-ctx.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(s.limits.linger)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-tick.C:
			// Where lines wait, batches fill up: it was the server that was slow.
			if len(incoming) == 0 && !s.since.IsZero() && now.Sub(s.since) >= s.limits.linger {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
		case l, more := <-incoming:
			if more {
				if err := s.add(ctx, l); err != nil {
					return err
				}
				continue
			}
			select {
			case err := <-ended:
				return err
			default:
				return s.flush(ctx)
			}
		}
	}
}

// add puts a line into the batch of its object's worker.
func (s *spreader) add(ctx context.Context, l *line) error {
	if l.tooLong {
		return s.tracker.drop(l, refuseLong(l))
	}
	i, h := s.scanner.item(l)
	n := int(h % uint64(len(s.queues)))
	if b := s.filling[n]; b != nil && b.bytes+i.size() > s.limits.bytes {
		if err := s.dispatch(ctx, n); err != nil {
			return err
		}
	}
	b := s.filling[n]
	if b == nil {
		b = &batch{first: l.from}
		s.filling[n] = b
		s.tracker.begin(b)
		if s.since.IsZero() {
			s.since = time.Now()
		}
	}
	b.items, b.bytes, b.length = append(b.items, i), b.bytes+i.size(), b.length+l.length
	s.tracker.take(l.to)
	if len(b.items) == s.limits.lines {
		if err := s.dispatch(ctx, n); err != nil {
			return err
		}
	}
	return s.dispatchOld(ctx, l.to)
}

// dispatchOld sends batches that are left behind because few lines fall to them: they would hold the low-water mark
// back.
func (s *spreader) dispatchOld(ctx context.Context, at mark) error {
	spread := int64(2 * len(s.queues))
	for n, b := range s.filling {
		if b == nil {
			continue
		}
		if at.Items-b.first.Items > spread*int64(s.limits.lines) || at.Offset-b.first.Offset > spread*int64(s.limits.bytes) {
			if err := s.dispatch(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush sends every batch.
func (s *spreader) flush(ctx context.Context) error {
	for n, b := range s.filling {
		if b == nil {
			continue
		}
		if err := s.dispatch(ctx, n); err != nil {
			return err
		}
	}
	s.since = time.Time{}
	return nil
}

// dispatch gives a batch to its worker and waits until that can take it.
func (s *spreader) dispatch(ctx context.Context, n int) error {
	select {
	case s.queues[n] <- s.filling[n]:
		s.filling[n] = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a worker: %w", context.Cause(ctx))
	}
}
