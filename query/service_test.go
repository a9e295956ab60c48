package query

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/schematest/contract"
)

func TestRunServesOnceTheTablesAreThere(t *testing.T) {
	t.Parallel()
	f := &fixture{db: schematest.ClickHouse(t), reg: prometheus.NewRegistry()}
	cfg := f.config()
	cfg.Kafka.Brokers = schematest.Kfake(t)
	service, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Reg: f.reg, Require: bearerIsWorkspace, TimeZone: universal})
	if err != nil {
		t.Fatal(err)
	}
	f.service, f.handler = service, contract.Handler(t, service.Handler())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	if a := f.get(t.Context(), "ws", c1, nil); a.status != http.StatusServiceUnavailable || service.Ready(t.Context()) == nil {
		t.Errorf("before the tables are there: %d %s", a.status, a.body)
	}
	f.migrate(t)
	await(t, "the service is ready", func() bool { return service.Ready(t.Context()) == nil })
	if a := f.get(t.Context(), "ws", c1, nil); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run ended with %v", err)
	}
	if a := f.get(t.Context(), "ws", c1, nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("after the end: %d %s", a.status, a.body)
	}
}

func TestRunRefusesTablesOfANewerVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.write.Exec(t.Context(), "INSERT INTO schema_migrations (number, name, checksum) VALUES (999, '0999_later.sql', 'x')"); err != nil {
		t.Fatal(err)
	}
	cfg := f.config()
	service, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Require: bearerIsWorkspace, TimeZone: universal})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "newer than the program") {
		t.Errorf("run ended with %v", err)
	}
}

func TestNewReportsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Listen: "x", Limits: Limits{Rows: 1}}, Deps{Require: bearerIsWorkspace, TimeZone: universal})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"listen", "position timeout", "time limit", "limit of bytes", "kafka brokers", "clickhouse address"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not mentioned in: %v", want, err)
		}
	}
}
