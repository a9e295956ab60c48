package otlp_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/throughline/throughline/deploy/otlp"
)

func TestTracesAreOffUnlessTheEnvironmentNamesACollector(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  map[string]string
		on   bool
		fail string
	}{
		"nothing is set":            {},
		"an endpoint":               {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		"an endpoint of traces":     {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, on: true},
		"the exporter alone":        {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		"no exporter":               {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"all of it is off":          {env: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"an exporter of another":    {env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, fail: `OTEL_TRACES_EXPORTER is "zipkin"`},
		"a protocol of another":     {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, fail: "only http/protobuf"},
		"the protocol that is used": {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, on: true},
		"a protocol of traces only": {env: map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
		}, on: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider, stop, err := otlp.Open(t.Context(), "test", slog.New(slog.DiscardHandler), func(name string) string { return test.env[name] })
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("got %v, want %s", err, test.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			stop() // nothing was recorded, so nobody is asked
			if on := provider != nil; on != test.on {
				t.Errorf("on is %t", on)
			}
		})
	}
}
