package embedded

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// kafkaNode is one broker of a cluster; each is a controller as well.
type kafkaNode struct {
	id                   int
	dir                  string
	port, controllerPort int
	doors                []kafkaDoor
}

// kafkaDoor is a further listener with its port.
type kafkaDoor struct {
	KafkaListener

	port int
	// front is the address that clients are given, where it is another one.
	front string
}

func (d kafkaDoor) addr() string { return loopback + ":" + strconv.Itoa(d.port) }

func (n kafkaNode) addr() string { return loopback + ":" + strconv.Itoa(n.port) }

func (n kafkaNode) config() string { return filepath.Join(n.dir, "server.properties") }

func (n kafkaNode) logDir() string { return filepath.Join(n.dir, "log") }

// properties is the broker's configuration.
func (n kafkaNode) properties(nodes []kafkaNode) string {
	// The voters are static, because dynamic ones are part of the data, and
	// the ports change from start to start.
	voters := make([]string, 0, len(nodes))
	for _, node := range nodes {
		voters = append(voters, fmt.Sprintf("%d@%s:%d", node.id, loopback, node.controllerPort))
	}
	open, advertised, protocols, own := n.listeners()
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		fmt.Sprintf("listeners=%s,CONTROLLER://%s:%d", open, loopback, n.controllerPort),
		"advertised.listeners=" + advertised,
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT," + protocols,
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"controller.quorum.voters=" + strings.Join(voters, ","),
		"log.dirs=" + n.logDir(),
	}
	lines = append(append(lines, KafkaSettings(len(nodes))...), own...)
	return strings.Join(lines, "\n") + "\n"
}

// listeners lists the doors for clients with their addresses, those that clients
// are given, the protocol of each, and the properties that each has of its own.
func (n kafkaNode) listeners() (open, advertised, protocols string, own []string) {
	addrs, kinds := []string{"PLAINTEXT://" + n.addr()}, []string{"PLAINTEXT:PLAINTEXT"}
	given := slices.Clone(addrs)
	for _, d := range n.doors {
		addrs = append(addrs, d.Name+"://"+d.addr())
		given = append(given, d.Name+"://"+cmp.Or(d.front, d.addr()))
		kinds = append(kinds, d.Name+":"+d.Protocol)
		for _, key := range slices.Sorted(maps.Keys(d.Properties)) {
			own = append(own, "listener.name."+strings.ToLower(d.Name)+"."+key+"="+d.Properties[key])
		}
	}
	return strings.Join(addrs, ","), strings.Join(given, ","), strings.Join(kinds, ","), own
}

// KafkaSettings are what every broker of a cluster for developing and testing
// has in its configuration, wherever it runs, each as name=value. Addresses and
// folders are not among them.
func KafkaSettings(brokers int) []string {
	replicas := brokers // each has everything
	// A cluster of three serves reads and writes with one broker down.
	inSync := max(replicas-1, 1)
	return []string{
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", inSync),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.min.isr=%d", inSync),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", replicas),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", inSync),
		// Few partitions of the inner topics: each is files and memory, and
		// one machine has no load to spread.
		"offsets.topic.num.partitions=1",
		"transaction.state.log.num.partitions=4",
		// The first member of a group need not wait for others to join.
		"group.initial.rebalance.delay.ms=0",
		// A topic that nobody created is a mistake in its name.
		"auto.create.topics.enable=false",
		// A topic that forgets says so itself.
		"log.retention.ms=-1",
		// A broker that is gone is noticed in seconds, as failover tests want.
		"broker.session.timeout.ms=6000",
		"broker.heartbeat.interval.ms=1000",
		"controller.quorum.election.timeout.ms=500",
		"controller.quorum.fetch.timeout.ms=1500",
	}
}
