package embedded

import (
	"context"
	"fmt"
	"path/filepath"
)

// launch starts the process of a broker.
func (k *ApacheKafka) launch(ctx context.Context, i int) error {
	node := k.nodes[i]
	child, err := startChild(ctx, childSpec{
		name:  fmt.Sprintf("kafka broker %d", node.id),
		role:  roleSupervise,
		args:  append(k.javaArgs(), "kafka.Kafka", node.config()),
		dir:   node.dir,
		log:   filepath.Join(node.dir, "server.log"),
		owner: k.owner,
	})
	if err != nil {
		return err
	}
	k.children[i] = child
	return nil
}

// javaArgs is the start of a broker's command line. A broker that is there to
// work for long gets Java's usual compilers and collector. For one of a few
// minutes, where starting is the work, the quick compiler alone and a collector
// without threads are better; three share a machine for a failover test.
func (k *ApacheKafka) javaArgs() []string {
	args := []string{k.java, "-Xms64m", "-Xmx512m"}
	if k.quick || len(k.nodes) > 1 {
		args = append(args, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
	}
	return append(args, "-cp", filepath.Join(k.libs, "*"))
}

// Pid is the process that supervises a broker, which is its only child. Brokers
// count from 0; it changes with Restart.
func (k *ApacheKafka) Pid(i int) int { return k.children[i].cmd.Process.Pid }

// Kill ends a broker with SIGKILL, as a crash would. Brokers count from 0.
func (k *ApacheKafka) Kill(i int) error {
	return k.children[i].kill()
}

// Restart starts a broker that was killed, on the same port and data, and
// returns once the whole cluster is in the metadata again.
func (k *ApacheKafka) Restart(ctx context.Context, i int) error {
	if err := k.children[i].kill(); err != nil {
		return err
	}
	if err := k.launch(ctx, i); err != nil {
		return err
	}
	return k.awaitReady(ctx)
}
