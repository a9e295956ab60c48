package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataBound is how long one request for metadata may take while a broker
// that listens may not be able to answer yet.
const metadataBound = 2 * time.Second

// awaitReady waits until the cluster answers; see AwaitKafka.
func (k *ApacheKafka) awaitReady(ctx context.Context) error {
	return AwaitKafka(ctx, k.Brokers, k.cluster, func() error {
		for _, child := range k.children {
			if err := child.startError(); err != nil {
				return err
			}
		}
		return nil
	})
}

// AwaitKafka waits, up to 90 s, until each broker of a cluster answers a
// metadata request with all of them. A listening port is not enough: a broker
// listens before it is registered. The cluster's id tells it from somebody
// else's on the same port. Broken is asked in between and ends the waiting with
// its error.
func AwaitKafka(ctx context.Context, brokers []string, cluster string, broken func() error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DialTimeout(metadataBound))
	if err != nil {
		return fmt.Errorf("open client: %w", err)
	}
	defer client.Close()
	return poll(ctx, kafkaReady, func() error {
		if err := broken(); err != nil {
			return final{err}
		}
		return probe(ctx, client, len(brokers), cluster)
	})
}

// probe asks every broker, for each has a view of its own and the slowest one
// decides.
func probe(ctx context.Context, client *kgo.Client, brokers int, cluster string) error {
	ctx, cancel := context.WithTimeout(ctx, metadataBound)
	defer cancel()
	for _, broker := range client.SeedBrokers() {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{}
		response, err := broker.Request(ctx, request)
		if err != nil {
			return fmt.Errorf("request metadata: %w", err)
		}
		metadata, ok := response.(*kmsg.MetadataResponse)
		switch {
		case !ok || metadata.ClusterID == nil:
			return errors.New("request metadata: answer names no cluster")
		case *metadata.ClusterID != cluster:
			return final{fmt.Errorf("another cluster, %s, answers: %w", *metadata.ClusterID, errPortTaken)}
		case len(metadata.Brokers) != brokers:
			return fmt.Errorf("request metadata: %d of %d brokers are up", len(metadata.Brokers), brokers)
		}
	}
	return nil
}
