package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/tlsdial"
)

// Cluster is what a broker says of itself.
type Cluster struct {
	ID      string
	Brokers int
}

// askTimeout bounds one question, its connection included.
const askTimeout = 10 * time.Second

// Ask asks the brokers, one after the other, until one answers, and proves so that they can be reached and let this
// process in. Its errors carry a kind: [problem.Retry] where a broker may come up, [problem.Stop] where a configuration
// has to change first. Where brokers fail differently, one that may come up is worth waiting for. An error that wraps
// [tlsdial.ErrHungUp] is worth it for a short time only.
func Ask(ctx context.Context, cfg Config, log *slog.Logger) (Cluster, error) {
	client, err := Open(cfg.with("ask"), log, nil)
	if err != nil {
		return Cluster{}, err
	}
	defer client.Close()
	var errs []error
	kind := problem.Stop
	for i, broker := range client.SeedBrokers() {
		cluster, err := ask(ctx, broker)
		if err == nil {
			return cluster, nil
		}
		if problem.KindOf(err) == problem.Retry {
			kind = problem.Retry
		}
		errs = append(errs, fmt.Errorf("ask kafka broker %s: %w", cfg.Brokers[i], err))
	}
	return Cluster{}, problem.WithKind(kind, errors.Join(errs...))
}

func ask(ctx context.Context, broker *kgo.Broker) (Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	answer, err := broker.Request(ctx, request)
	if err != nil {
		return Cluster{}, refusedBy(err)
	}
	metadata, ok := answer.(*kmsg.MetadataResponse)
	if !ok {
		return Cluster{}, fmt.Errorf("answer to a metadata request is a %T", answer) // which cannot be
	}
	cluster := Cluster{Brokers: len(metadata.Brokers)}
	if metadata.ClusterID != nil {
		cluster.ID = *metadata.ClusterID
	}
	return cluster, nil
}

// refusedBy puts what an error means in front of it where no retry heals it. Any other may go away.
func refusedBy(err error) error {
	reason, refused := tlsdial.Refused(err)
	_, hungUp := errors.AsType[*kgo.ErrFirstReadEOF](err)
	switch {
	case refused:
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		reason = "SASL: wrong user or password"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		reason = "SASL: the broker does not offer this mechanism"
	case errors.Is(err, kerr.IllegalSaslState):
		reason = "SASL: the broker does not expect it on this port, or expects it first"
	case hungUp:
		return problem.WithKind(problem.Retry, fmt.Errorf("%w: %w", tlsdial.ErrHungUp, err))
	default:
		return problem.WithKind(problem.Retry, err)
	}
	return problem.WithKind(problem.Stop, fmt.Errorf("%s: %w", reason, err))
}
