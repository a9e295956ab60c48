package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/ingest"
	"github.com/throughline/throughline/ingest/link"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/stream"
)

// serveEdge is the edge as throughline ingest has it. The linker of that process is left out unless it is asked for: the
// bare handler has nothing that reads what it wrote either.
func serveEdge(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	master, err := seal.NewMaster(make([]byte, seal.KeyBytes))
	if err != nil {
		return err
	}
	p := &assembly.Process{
		Kafka: stream.Config{Brokers: s.Brokers, ClientID: "throughline", Prefix: s.Prefix}, Views: s.Dir, Admin: operatorKey,
		Producing: stream.ProducerConfig{Linger: s.Linger}, Log: log, Reg: run.NewRegistry(), Ready: run.NewReadiness(),
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	handler, err := p.Ingest(ctx, ingest.DefaultConfig(), link.DefaultConfig(), master)
	if err != nil {
		return err
	}
	front, err := listen(ctx, log, handler, http.NewServeMux(), stdout)
	if err != nil {
		return err
	}
	back := p.Services()
	if !s.Link {
		back = slices.DeleteFunc(slices.Clone(back), func(service run.Service) bool { return service.Name == "link" })
	}
	return assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 5 * time.Second}, front, back)
}
