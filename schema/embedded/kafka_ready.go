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

// awaitReady waits until the cluster answers a metadata request with all of
// its brokers. A listening port is not enough: a broker listens before it is
// registered. The cluster's id tells it from somebody else's on the same port.
func (k *ApacheKafka) awaitReady(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.DialTimeout(metadataBound))
	if err != nil {
		return fmt.Errorf("open client: %w", err)
	}
	defer client.Close()
	return poll(ctx, kafkaReady, func() error {
		for _, child := range k.children {
			if err := child.startError(); err != nil {
				return final{err}
			}
		}
		return k.probe(ctx, client)
	})
}

// probe asks every broker, for each has a view of its own and the slowest one
// decides.
func (k *ApacheKafka) probe(ctx context.Context, client *kgo.Client) error {
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
		case *metadata.ClusterID != k.cluster:
			return final{fmt.Errorf("another cluster, %s, answers: %w", *metadata.ClusterID, errPortTaken)}
		case len(metadata.Brokers) != len(k.nodes):
			return fmt.Errorf("request metadata: %d of %d brokers are up", len(metadata.Brokers), len(k.nodes))
		}
	}
	return nil
}
