package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// toxic is the name of what a fault puts into a proxy, and of the same for the other direction.
const toxic = "fault"

// loopback is where proxies and services listen, which give their ports up for a while and want them back. Connections to
// other places begin at 127.0.0.1, and would take such a port there.
const loopback = "127.0.0.2"

// proxy stands between the services and a server.
type proxy struct{ *toxiproxy.Proxy }

// newProxy starts a proxy in front of an address.
func newProxy(name, upstream string) (proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := proxy{toxiproxy.NewProxy(server, name, loopback+":0", upstream)}
	if err := p.Start(); err != nil {
		return proxy{}, fmt.Errorf("start proxy of %s: %w", name, err)
	}
	return p, nil
}

// begin implements target.
func (p proxy) begin(k Kind) error {
	switch k {
	case Cut:
		p.Stop()
		return nil
	case Stall:
		return p.add(`"type": "timeout", "attributes": {"timeout": 0}`)
	case Slow:
		return p.add(`"type": "latency", "attributes": {"latency": 150, "jitter": 100}`)
	default:
		return fmt.Errorf("no %s of a proxy", k)
	}
}

// add puts a toxic into both directions.
func (p proxy) add(of string) error {
	for _, direction := range []string{"upstream", "downstream"} {
		spec := fmt.Sprintf(`{"name": "%s-%s", "stream": %[2]q, %s}`, toxic, direction, of)
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(spec)); err != nil {
			return fmt.Errorf("proxy of %s: %w", p.Name, err)
		}
	}
	return nil
}

// end implements target. What was stalled is closed: its bytes are lost, as they are with a line that was dead.
func (p proxy) end(k Kind) error {
	if k == Cut {
		return p.listen()
	}
	if k == Stall {
		p.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.Toxics.ResetToxics(ctx)
	if k == Stall {
		return p.listen()
	}
	return nil
}

// listen takes the proxy's port again. A process that is being started holds a copy of the old listener for a moment.
func (p proxy) listen() error {
	const tries, between = 300, 100 * time.Millisecond
	var err error
	for range tries {
		if err = p.Start(); err == nil {
			return nil
		}
		<-time.After(between)
	}
	return err
}
