package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/topic"
)

// refusalBatch is how many refusals are written together.
const refusalBatch = 256

// lastRefusals is how long the refusals that wait at the end have to be written in.
const lastRefusals = 5 * time.Second

// refuse notes a refusal for the event log and returns the problem with the id under which it stands there. Writing it is
// left to Run: an answer must not wait for it nor depend on it.
func (s *Service) refuse(sub *event.Submission, workspace string, status event.Status, p *problem.Problem, sent []byte) error {
	outcome := "invalid"
	if status == event.StatusNotFound {
		outcome = "not_found"
	}
	s.metrics.events.WithLabelValues(outcome).Inc()
	r := rejection(sub, workspace, status, p.Detail, sent)
	key := topic.Key(workspace)
	if r.Type != "" && r.ObjectID != "" {
		key = topic.Key(workspace, string(r.Type), r.ObjectID)
	}
	value, err := r.Encode()
	if err != nil {
		return err
	}
	record := &stream.Record{
		Topic: s.topic(topic.Rejections), Key: key, Value: value, Timestamp: sub.ReceivedAt.Time,
		Headers: stream.Headers(topic.Envelope{
			ID: r.ID, Type: topic.TypeRejection, Workspace: workspace, Time: sub.ReceivedAt.Time,
		}.Headers()),
	}
	select {
	case s.refusals <- record:
	default:
		s.metrics.refusals.WithLabelValues("dropped").Inc()
	}
	return p.WithExtra("id", r.ID)
}

// logRefusals writes refusals until the context ends, then those that still wait.
func (s *Service) logRefusals(ctx context.Context) error {
	for {
		select {
		case first := <-s.refusals:
			// Once taken out of the queue they are written even if the process is being stopped meanwhile; the producer's
			// own timeout bounds that.
			s.writeRefusals(context.WithoutCancel(ctx), s.waiting(first))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRefusals)
			defer cancel()
			for {
				select {
				case first := <-s.refusals:
					s.writeRefusals(last, s.waiting(first))
				default:
					return nil
				}
			}
		}
	}
}

// waiting takes what waits behind the first refusal, up to a batch.
func (s *Service) waiting(first *stream.Record) []*stream.Record {
	batch := []*stream.Record{first}
	for len(batch) < refusalBatch {
		select {
		case next := <-s.refusals:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (s *Service) writeRefusals(ctx context.Context, batch []*stream.Record) {
	failed, why := 0, ""
	for _, result := range s.producer.ProduceEach(ctx, batch) {
		if result.Err != nil {
			failed, why = failed+1, result.Err.Error()
		}
	}
	s.metrics.refusals.WithLabelValues("logged").Add(float64(len(batch) - failed))
	s.metrics.refusals.WithLabelValues("failed").Add(float64(failed))
	if failed > 0 {
		s.log.WarnContext(ctx, "refusals not logged", slog.Int("count", failed), slog.String("error", why))
	}
}
