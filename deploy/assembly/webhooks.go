package assembly

import (
	"context"
	"net/http"

	"github.com/throughline/throughline/dispatcher"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/store"
)

// Dispatcher adds the dispatcher and returns its handler. ClickHouse is read only, for what became of deliveries. previous
// are master keys that the one in force has replaced.
func (p *Process) Dispatcher(ctx context.Context, cfg dispatcher.Config, clickhouse store.Config, master *seal.Master, previous ...*seal.Master) (http.Handler, error) {
	producer, err := p.Producer(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := p.Access(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Dir, err = p.view("webhooks"); err != nil {
		return nil, err
	}
	service, err := dispatcher.New(cfg, dispatcher.Deps{
		Kafka: p.kafka("dispatcher"), Producer: producer, ClickHouse: clickhouse, Master: master, Previous: previous,
		Require: keys.Require, Log: p.Log, Reg: p.Reg, Traces: p.Traces,
	})
	if err != nil {
		return nil, err
	}
	p.add("dispatcher", service.Run, service.Ready)
	return service.Handler(), nil
}
