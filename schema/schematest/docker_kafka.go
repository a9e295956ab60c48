package schematest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"golang.org/x/sync/errgroup"

	"github.com/throughline/throughline/schema/embedded"
)

// kafkaPort is the door for clients in a broker's container.
const kafkaPort = "9092/tcp"

// kafkaContainers are the brokers of a cluster in containers. A client must
// reach a broker under the address that the broker tells it, so the ports of
// the host are chosen here and stay the same.
type kafkaContainers struct {
	docker  *docker
	brokers []string
	id      string // the cluster's
	nodes   []testcontainers.Container
	network *testcontainers.DockerNetwork // between brokers, if there are several
}

// startKafkaContainers starts a cluster and returns once all of its brokers
// are in the metadata it answers with.
func startKafkaContainers(ctx context.Context, brokers int) (*kafkaContainers, error) {
	d, err := theDocker(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := embedded.FreePorts(brokers)
	if err != nil {
		return nil, err
	}
	k := &kafkaContainers{docker: d, id: embedded.NewClusterID(), nodes: make([]testcontainers.Container, brokers)}
	for _, port := range ports {
		k.brokers = append(k.brokers, net.JoinHostPort(d.host, strconv.Itoa(port)))
	}
	err = k.start(ctx, ports)
	if err == nil {
		err = k.await(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start kafka in containers: %w", err), k.remove(context.WithoutCancel(ctx)))
	}
	return k, nil
}

func (k *kafkaContainers) start(ctx context.Context, ports []int) error {
	var networks []string
	if len(ports) > 1 {
		var err error
		if k.network, err = tcnetwork.New(ctx, tcnetwork.WithLabels(labels())); err != nil {
			return fmt.Errorf("create network: %w", err)
		}
		networks = []string{k.network.Name}
	}
	starts, starting := errgroup.WithContext(ctx)
	for i, port := range ports {
		starts.Go(func() (err error) {
			k.nodes[i], err = k.docker.start(starting, testcontainers.ContainerRequest{
				Image:          k.docker.kafka,
				Env:            k.environment(i),
				ExposedPorts:   []string{kafkaPort},
				Networks:       networks,
				NetworkAliases: k.aliases(i),
				HostConfigModifier: func(host *container.HostConfig) {
					host.PortBindings = network.PortMap{network.MustParsePort(kafkaPort): {{
						HostIP: k.docker.bind(), HostPort: strconv.Itoa(port),
					}}}
				},
			})
			return err
		})
	}
	return starts.Wait()
}

// bind is the host's address that ports are opened on: this machine's own only,
// unless the engine is another one's.
func (d *docker) bind() netip.Addr {
	if addr, err := netip.ParseAddr(d.host); err == nil && addr.IsLoopback() {
		return addr
	}
	return netip.IPv4Unspecified()
}

// alone is the name that a single broker knows itself by.
const alone = "localhost"

func (k *kafkaContainers) name(i int) string {
	if len(k.brokers) == 1 {
		return alone
	}
	return "kafka-" + strconv.Itoa(i+1)
}

func (k *kafkaContainers) aliases(i int) map[string][]string {
	if k.network == nil {
		return nil
	}
	return map[string][]string{k.network.Name: {k.name(i)}}
}

// environment is a broker's configuration, in the way of the Kafka images.
func (k *kafkaContainers) environment(i int) map[string]string {
	voters := make([]string, 0, len(k.brokers))
	for n := range k.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s:9093", n+1, k.name(n)))
	}
	env := map[string]string{
		"CLUSTER_ID": k.id,
		// As for brokers of a test without a container.
		"KAFKA_HEAP_OPTS": "-Xms64m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
	}
	for _, setting := range append(embedded.KafkaSettings(len(k.brokers)),
		"process.roles=broker,controller",
		"node.id="+strconv.Itoa(i+1),
		"listeners=PLAINTEXT://:9092,INNER://:9094,CONTROLLER://:9093",
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s,INNER://%s:9094", k.brokers[i], k.name(i)),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=INNER",
		"controller.listener.names=CONTROLLER",
		"controller.quorum.voters="+strings.Join(voters, ","),
		"log.dirs=/var/lib/kafka/data",
	) {
		name, value, _ := strings.Cut(setting, "=")
		env["KAFKA_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))] = value
	}
	return env
}

func (k *kafkaContainers) await(ctx context.Context) error {
	return embedded.AwaitKafka(ctx, k.brokers, k.id, func() error {
		for _, node := range k.nodes {
			if err := k.docker.broken(ctx, node); err != nil {
				return err
			}
		}
		return nil
	})
}

// Kill implements nodes.
func (k *kafkaContainers) Kill(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), tidyWithin)
	defer cancel()
	id := k.nodes[i].GetContainerID()
	if _, err := k.docker.client.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill broker %d: %w", i+1, err)
	}
	gone := k.docker.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		return fmt.Errorf("kill broker %d: %w", i+1, err)
	}
}

// Restart implements nodes.
func (k *kafkaContainers) Restart(ctx context.Context, i int) error {
	if _, err := k.docker.client.ContainerStart(ctx, k.nodes[i].GetContainerID(), client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start broker %d again: %w", i+1, err)
	}
	return k.await(ctx)
}

// Close implements nodes.
func (k *kafkaContainers) Close() error { return k.remove(context.Background()) }

// remove removes the containers with their data, then what is between them.
func (k *kafkaContainers) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tidyWithin)
	defer cancel()
	var removals errgroup.Group
	for _, node := range k.nodes {
		removals.Go(func() error { return remove(ctx, node) })
	}
	err := removals.Wait()
	if k.network != nil {
		err = errors.Join(err, k.network.Remove(ctx))
	}
	return err
}
