// Package otlp sends traces to an OpenTelemetry collector, as the variables that all of OpenTelemetry shares say. It is
// off unless they name a collector.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline/throughline/schema/run"
)

// The variables that say whether traces are sent. Where to, how often and which, the libraries read by themselves:
// OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _TIMEOUT, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_BSP_….
const (
	disabledVar = "OTEL_SDK_DISABLED"
	exporterVar = "OTEL_TRACES_EXPORTER"
	endpointVar = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesVar   = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// stopTimeout bounds how long the end of a process waits for its last traces.
const stopTimeout = 2 * time.Second

// protocolVars name the protocol, the one for traces first.
func protocolVars() []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}
}

// Open returns where spans go, or nil where the environment asks for none. service names this process in traces unless
// OTEL_SERVICE_NAME does. Stop sends what is left; it never takes longer than two seconds, and never fails: that traces
// are lost is logged, and is no failure of the process. An error says which variable cannot be followed.
func Open(ctx context.Context, service string, log *slog.Logger, getenv func(string) string) (traces trace.TracerProvider, stop func(), err error) {
	on, err := wanted(getenv)
	if err != nil {
		return nil, nil, fmt.Errorf("configure traces: %w", err)
	}
	if !on {
		return nil, func() {}, nil
	}
	// The library reports what it could not send to one place of the process. A collector that is away is nothing that
	// a service should fail for, but somebody should know.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { lost(log, err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open exporter of traces: %w", err)
	}
	version, _ := run.Build()
	// In this order, so that the environment has the last word.
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", service), attribute.String("service.namespace", "throughline"),
		attribute.String("service.version", version)), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, nil, errors.Join(fmt.Errorf("describe this process: %w", err), exporter.Shutdown(ctx))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := provider.Shutdown(limit); err != nil {
			lost(log, err)
		}
	}, nil
}

func lost(log *slog.Logger, err error) {
	log.Warn("traces are lost", slog.String("error", err.Error()))
}

// wanted says whether traces are asked for, and refuses what this program does not do rather than doing something else.
func wanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv(disabledVar), "true") {
		return false, nil
	}
	switch exporter := getenv(exporterVar); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if getenv(endpointVar) == "" && getenv(tracesVar) == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf("%s is %q; otlp and none are known", exporterVar, exporter)
	}
	for _, name := range protocolVars() {
		if protocol := getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				return false, fmt.Errorf("%s is %q; only http/protobuf is spoken", name, protocol)
			}
			break
		}
	}
	return true, nil
}
